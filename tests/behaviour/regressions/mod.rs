// Each file is a bug that was there, named by what it broke.
mod a_trailing_dot_names_the_same_host;
mod a_trailing_slash_of_a_resource_is_part_of_its_path;
