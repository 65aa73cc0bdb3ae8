//! Plots as SVG: bars for what a request costs each contender, lines for what it costs as things grow.

use std::fmt::Write as _;

use crate::comparison::Comparison;
use crate::contender::Contender;
use crate::envoy_under_test::Cost;
use crate::growth::Growth;
use crate::target::MAX_GROWTH;

/// Bars: the worker's time for a request, by workload and contender.
pub(crate) fn of_comparison(comparison: &Comparison) -> String {
    let mut body = String::new();
    let mut y = TOP;
    for workload in comparison.workloads() {
        text(&mut body, MARGIN, y + 13.0, "start", "bold", &workload.title());
        y += ROW + 2.0;
        let rows: Vec<(Contender, f64)> = comparison
            .contenders(workload)
            .filter_map(|contender| {
                Some((contender, comparison.median(workload, contender, Cost::worker_micros)?))
            })
            .collect();
        // Each workload has its own scale: a signature costs as much as many cached tokens.
        let most = rows.iter().map(|(_, micros)| *micros).fold(f64::MIN_POSITIVE, f64::max);
        for (contender, micros) in rows {
            let width = micros / most * BAR;
            text(&mut body, LABEL - 6.0, y + 12.0, "end", "normal", contender.name());
            let colour = if contender == workload.ours() { OURS } else { OTHERS };
            let _ = writeln!(
                body,
                r#"<rect x="{LABEL}" y="{y:.1}" width="{width:.1}" height="{:.1}" fill="{colour}"/>"#,
                ROW - 3.0
            );
            text(&mut body, LABEL + width + 5.0, y + 12.0, "start", "normal", &format!("{micros:.1}"));
            y += ROW;
        }
        y += GAP;
    }
    svg(WIDTH, y, "Envoy's worker: microseconds for a request", &body)
}

/// Lines: the worker's time for a request by that at the smallest size.
pub(crate) fn of_growth(growths: &[Growth]) -> String {
    let mut body = String::new();
    let ratios: Vec<Vec<f64>> = growths
        .iter()
        .map(|growth| growth.points.iter().filter_map(|point| Some(growth.ratio(point)?.median)).collect())
        .collect();
    let most = ratios.iter().flatten().copied().fold(MAX_GROWTH, f64::max) + 0.05;
    let least = ratios.iter().flatten().copied().fold(1.0, f64::min) - 0.05;
    let height = |ratio: f64| TOP + (most - ratio) / (most - least) * PLOT;
    let steps = ratios.iter().map(Vec::len).max().unwrap_or(1).max(2) - 1;
    let across = |step: usize| LEFT + step as f64 / steps as f64 * SPAN;
    for (ratio, label, dash) in [(1.0, "1.00", "none"), (MAX_GROWTH, "1.10: the most allowed", "5 4")] {
        let y = height(ratio);
        let _ = writeln!(
            body,
            r##"<line x1="{LEFT}" y1="{y:.1}" x2="{:.1}" y2="{y:.1}" stroke="#999" stroke-dasharray="{dash}"/>"##,
            LEFT + SPAN
        );
        text(&mut body, LEFT + 4.0, y - 4.0, "start", "normal", label);
    }
    for (place, (growth, ratios)) in growths.iter().zip(&ratios).enumerate() {
        let colour = COLOURS.get(place % COLOURS.len()).copied().unwrap_or(OURS);
        let mut line = String::new();
        for (step, ratio) in ratios.iter().enumerate() {
            let (x, y) = (across(step), height(*ratio));
            let _ = write!(line, "{x:.1},{y:.1} ");
            let _ = writeln!(body, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#);
        }
        let _ = writeln!(
            body,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
            line.trim_end()
        );
        let sizes: Vec<String> = growth.points.iter().map(|point| point.size.to_string()).collect();
        let y = TOP + PLOT + 24.0 + place as f64 * ROW;
        let _ =
            writeln!(body, r#"<rect x="{LEFT}" y="{:.1}" width="14" height="4" fill="{colour}"/>"#, y - 6.0);
        text(
            &mut body,
            LEFT + 20.0,
            y,
            "start",
            "normal",
            &format!("{}: {}", growth.axis.title(), sizes.join(" → ")),
        );
    }
    let bottom = TOP + PLOT + 34.0 + growths.len() as f64 * ROW;
    svg(WIDTH, bottom, "Envoy's worker: time for a request, by that at the smallest size", &body)
}

fn svg(width: f64, height: f64, title: &str, body: &str) -> String {
    let mut head = String::new();
    text(&mut head, MARGIN, 22.0, "start", "bold", title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{head}{body}</svg>\n"
    )
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, weight: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        body,
        r##"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" font-weight="{weight}" fill="#222">{text}</text>"##
    );
}

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 12.0;
const TOP: f64 = 40.0;
const ROW: f64 = 17.0;
const GAP: f64 = 12.0;
/// Where bars begin.
const LABEL: f64 = 230.0;
/// How long the longest bar is.
const BAR: f64 = 470.0;
const LEFT: f64 = 30.0;
const SPAN: f64 = 700.0;
const PLOT: f64 = 260.0;
const OURS: &str = "#0b6e4f";
const OTHERS: &str = "#b8c4cc";
const COLOURS: [&str; 7] = ["#0b6e4f", "#c8553d", "#28536b", "#f2a541", "#7b4b94", "#5f6b6d", "#d17bb0"];
