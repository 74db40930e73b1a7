//! The figures as a drawing: latency by percentile, and throughput over time. Our own few lines of SVG, so that it opens
//! anywhere and needs nothing.

use std::fmt::Write as _;

use super::{
    measure::Measured,
    record::{INTERVAL, Latencies, Recorder},
    report::{self, Report},
};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 320.0;
/// The room left of and below a plot.
const LEFT: f64 = 80.0;
const BELOW: f64 = 50.0;
const ABOVE: f64 = 40.0;
/// The room right of a plot, for the names of its lines.
const RIGHT: f64 = 180.0;
const COLOURS: [&str; 8] = ["#0b6e99", "#c8553d", "#588157", "#8e5ea2", "#b8860b", "#444444", "#d45087", "#2a9d8f"];

/// A line of a plot.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// The drawing of all reports, each by the run in its middle.
pub(super) fn drawn(reports: &[(Report, Vec<Measured>)]) -> String {
    let (mut latency, mut throughput) = (Vec::new(), Vec::new());
    for (report, runs) in reports {
        let Some(run) = report::middle(runs) else { continue };
        let name = report.plan.workload;
        if let Some(sent) = &run.sent {
            latency.push(Line { name: format!("{name}: send"), points: percentiles(&sent.latencies) });
            throughput.push(Line { name: format!("{name}: send"), points: rates(sent) });
        }
        if let Some(drained) = &run.drained {
            latency.push(Line { name: format!("{name}: delete"), points: percentiles(&drained.deletes.latencies) });
            throughput.push(Line { name: format!("{name}: delete"), points: rates(&drained.deletes) });
            if !drained.deliveries.0.is_empty() {
                latency.push(Line { name: format!("{name}: to delivery"), points: percentiles(&drained.deliveries) });
            }
        }
    }
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        HEIGHT * 2.0
    );
    let nines =
        |value: f64| if value == 0.0 { "0 %".to_owned() } else { format!("{} %", 100.0 - 100.0 / 10_f64.powf(value)) };
    plot(&mut svg, 0.0, "latency in ms, by percentile", &latency, &nines, Scale::Log);
    plot(
        &mut svg,
        HEIGHT,
        "messages a second, over seconds",
        &throughput,
        &|value: f64| format!("{value}"),
        Scale::Linear,
    );
    svg + "</svg>\n"
}

/// Latency in ms by the number of nines of the percentile: 0, 90 %, 99 %, …
#[allow(clippy::cast_precision_loss, reason = "a drawing")]
fn percentiles(latencies: &Latencies) -> Vec<(f64, f64)> {
    let most = (latencies.0.len().max(1) as f64).log10().min(5.0);
    let steps = (0..=100).map(|step| f64::from(step) / 20.0).take_while(|nines| *nines <= most);
    steps.map(|nines| (nines, latencies.0.value_at_quantile(1.0 - 10_f64.powf(-nines)) as f64 / 1e6)).collect()
}

#[allow(clippy::cast_precision_loss, reason = "a drawing")]
fn rates(recorder: &Recorder) -> Vec<(f64, f64)> {
    let seconds = INTERVAL as f64 / 1e9;
    let points = recorder.intervals.iter().zip(0_u32..);
    points.map(|(messages, interval)| (f64::from(interval) * seconds, *messages as f64 / seconds)).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    Log,
}

fn plot(svg: &mut String, top: f64, title: &str, lines: &[Line], tick: &dyn Fn(f64) -> String, scale: Scale) {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let widest = points().map(|(x, _)| x).fold(1.0, f64::max);
    let highest = points().map(|(_, y)| y).fold(0.01, f64::max);
    let lowest = points().map(|(_, y)| y).filter(|y| *y > 0.0).fold(highest, f64::min);
    let (bottom_value, top_value) = match scale {
        Scale::Linear => (0.0, highest * 1.05),
        Scale::Log => (lowest.log10().floor(), highest.log10().ceil().max(lowest.log10().floor() + 1.0)),
    };
    let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - ABOVE - BELOW);
    let across = |x: f64| LEFT + x / widest * width;
    let up = |y: f64| {
        let y = if scale == Scale::Log { y.max(lowest).log10() } else { y };
        top + ABOVE + height - (y - bottom_value) / (top_value - bottom_value) * height
    };
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\" font-size=\"14\">{title}</text>", top + 24.0);
    for step in 0..=5 {
        let share = f64::from(step) / 5.0;
        let x = if scale == Scale::Log { f64::from(step) } else { (widest * share * 10.0).round() / 10.0 };
        if x <= widest {
            let (place, below) = (across(x), top + ABOVE + height + 18.0);
            let _ = writeln!(svg, "<text x=\"{place:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{}</text>", tick(x));
        }
    }
    for value in grid(bottom_value, top_value, scale) {
        let (place, end) = (up(value), LEFT + width);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {place:.1}H{end}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            LEFT - 8.0,
            place + 4.0
        );
    }
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let path = line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), up(*y))).collect::<Vec<_>>();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            path.join(" ")
        );
        let row = top + ABOVE + 14.0 + 18.0 * f64::from(u32::try_from(index).unwrap_or(0));
        let _ =
            writeln!(svg, "<text x=\"{}\" y=\"{row:.1}\" fill=\"{colour}\">{}</text>", LEFT + width + 16.0, line.name);
    }
}

/// The values that have a line across the plot.
fn grid(bottom: f64, top: f64, scale: Scale) -> Vec<f64> {
    if scale == Scale::Log {
        let powers = (0..12).map(|step| bottom + f64::from(step)).take_while(|power| *power <= top);
        return powers.map(|power| 10_f64.powf(power)).collect();
    }
    let raw = top / 5.0;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= raw).unwrap_or(raw);
    (0..=6).map(|count| f64::from(count) * step).take_while(|value| *value <= top).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::record::Window;

    #[test]
    fn a_plot_has_its_lines_and_no_number_that_is_none() {
        let mut recorder = Recorder::new(Window { from: 0, until: u64::MAX });
        (0..5_000).for_each(|message| recorder.done(message * 1_000_000, 0));
        let lines = [Line { name: "send".into(), points: percentiles(&recorder.latencies) }];
        let mut svg = String::new();
        plot(&mut svg, 0.0, "latency", &lines, &|nines| nines.to_string(), Scale::Log);
        plot(
            &mut svg,
            0.0,
            "rate",
            &[Line { name: "send".into(), points: rates(&recorder) }],
            &|x| x.to_string(),
            Scale::Linear,
        );
        plot(&mut svg, 0.0, "nothing", &[], &|x| x.to_string(), Scale::Log);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
