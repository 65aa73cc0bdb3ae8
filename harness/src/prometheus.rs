//! Reads the text that Envoy's `/stats/prometheus` answers.

/// One line of the page: a metric with its labels and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels in order.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// Returns a label's value.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Returns the samples of a page; comments and lines that make no sense are passed over.
pub fn parse(page: &str) -> Vec<Sample> {
    page.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

/// Returns the sum of a metric's samples that carry all of these labels.
pub fn sum(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    samples
        .iter()
        .filter(|sample| sample.name == name)
        .filter(|sample| labels.iter().all(|(key, value)| sample.label(key) == Some(value)))
        .map(|sample| sample.value)
        .sum()
}

fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.trim_end().rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = head.split_once('{') else {
        return Some(Sample { name: head.to_owned(), labels: Vec::new(), value });
    };
    Some(Sample { name: name.to_owned(), labels: parse_labels(labels)?, value })
}

/// Reads `a="b",c="d"}`; a value may hold an escaped quote.
fn parse_labels(mut rest: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    while !rest.starts_with('}') {
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => match characters.next()? {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                other => value.push(other),
            }
        }
        labels.push((name.to_owned(), value));
        rest = characters.as_str();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_quotes_and_commas_are_read() {
        let page = "# TYPE a counter\na{} 1\na{x=\"1\",y=\"b,\\\"c\\\"\"} 2\nplain 3\nnonsense\n";
        let samples = parse(page);
        assert_eq!(samples.len(), 3);
        assert_eq!(samples[1].label("y"), Some("b,\"c\""));
        assert!((sum(&samples, "a", &[]) - 3.0).abs() < f64::EPSILON);
        assert!((sum(&samples, "a", &[("x", "1")]) - 2.0).abs() < f64::EPSILON);
    }
}
