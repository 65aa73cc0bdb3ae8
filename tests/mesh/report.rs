//! The table: which control plane delivered the filter, where it stands, what was tried, and whether it went as
//! expected.

use std::time::Instant;

use anyhow::Result;

/// Collects rows, and tells of each when it is there.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    start: Option<Instant>,
}

/// Which control plane, and where in the mesh the filter stands.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// `Istio`, `Envoy Gateway`, or `none` where Envoy has its configuration from a file.
    pub(crate) control_plane: &'static str,
    /// `sidecar, inbound`, `gateway`, …
    pub(crate) position: &'static str,
}

struct Row {
    place: Place,
    scenario: String,
    requests: usize,
    expected: String,
    got: String,
}

impl Report {
    pub(crate) fn begin(&mut self, group: &str) {
        self.start = Some(Instant::now());
        println!("mesh: {group}");
    }

    /// Adds a row. `requests` is how many requests of a client it took; an error is what came of it.
    pub(crate) fn row(
        &mut self,
        place: Place,
        scenario: &str,
        requests: usize,
        expected: &str,
        got: Result<String>,
    ) {
        let got = got.unwrap_or_else(|error| format!("{error:#}"));
        let row = Row { place, scenario: scenario.to_owned(), requests, expected: expected.to_owned(), got };
        let seconds = self.start.map_or(0.0, |start| start.elapsed().as_secs_f32());
        println!("mesh: {seconds:6.1} s  {}  {scenario}: {}", row.mark(), row.got);
        self.rows.push(row);
    }

    pub(crate) fn ended_early(&mut self, group: &str, why: &str) {
        let place = Place { control_plane: "-", position: "-" };
        self.row(place, group, 0, "all of its rows", Ok(why.to_owned()));
    }

    pub(crate) fn is_good(&self) -> bool {
        self.rows.iter().all(Row::is_good) && !self.rows.is_empty()
    }

    pub(crate) fn print(&self) {
        let mut table = vec![HEAD.map(str::to_owned)];
        table.extend(self.rows.iter().map(Row::cells));
        let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        println!();
        for row in &table {
            let cells = row.iter().enumerate();
            let cells = cells.map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
            println!("{}", cells.collect::<Vec<_>>().join(" | ").trim_end());
        }
        for row in self.rows.iter().filter(|row| !row.is_good()) {
            println!("\n{}:\n  expected {}\n  got      {}", row.scenario, row.expected, row.got);
        }
        let failed = self.rows.iter().filter(|row| !row.is_good()).count();
        println!("\nmesh: {} passed, {failed} failed", self.rows.len() - failed);
    }
}

impl Row {
    fn is_good(&self) -> bool {
        self.expected == self.got
    }

    fn mark(&self) -> &'static str {
        if self.is_good() { "ok  " } else { "FAIL" }
    }

    fn cells(&self) -> [String; 5] {
        let Place { control_plane, position } = self.place;
        let expected = if self.is_good() { self.got.clone() } else { "NO: see below".to_owned() };
        [control_plane.into(), position.into(), self.scenario.clone(), self.requests.to_string(), expected]
    }
}

const HEAD: [&str; 5] = ["control plane", "position", "scenario", "requests", "as expected"];
