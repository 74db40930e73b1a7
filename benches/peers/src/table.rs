//! The figures of all rounds, their medians and the ratios of these; as text and as JSON.

use serde_json::{Map, Value, json};

/// The sides that have a column.
const COLUMNS: [&str; 4] = ["segments", "sled", "redis", "nats"];

/// One figure, measured in each round.
#[derive(Default)]
struct Figure {
    row: String,
    side: String,
    values: Vec<f64>,
    /// Of a reference: the row and the side of ours that it belongs to.
    beside: Option<(String, String)>,
}

impl Figure {
    fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[(sorted.len() - 1) / 2]
    }
}

/// All figures, in the order in which they were first measured.
#[derive(Default)]
pub(crate) struct Table {
    figures: Vec<Figure>,
    references: Vec<Figure>,
    /// Row, journal, messages of a frame, bytes of a message in it; the last of a kind holds.
    frames: Vec<(String, String, f64, f64)>,
}

fn note<'a>(figures: &'a mut Vec<Figure>, row: &str, side: &str, value: f64) -> &'a mut Figure {
    let found = figures.iter().position(|figure| figure.row == row && figure.side == side);
    let place = found.unwrap_or_else(|| {
        figures.push(Figure { row: row.to_owned(), side: side.to_owned(), ..Figure::default() });
        figures.len() - 1
    });
    figures[place].values.push(value);
    &mut figures[place]
}

impl Table {
    /// A figure of a side.
    pub(crate) fn note(&mut self, row: &str, side: &str, value: f64) {
        note(&mut self.figures, row, side, value);
    }

    /// A figure that others are measured by.
    pub(crate) fn refer(&mut self, name: &str, value: f64) {
        note(&mut self.references, name, "", value);
    }

    /// One that belongs to a figure of ours.
    pub(crate) fn refer_to(&mut self, name: &str, value: f64, (row, side): (&str, &str)) {
        note(&mut self.references, name, "", value).beside = Some((row.to_owned(), side.to_owned()));
    }

    /// The frames that ours made.
    pub(crate) fn frames(&mut self, row: &str, journal: &str, messages: f64, bytes: f64) {
        self.frames.push((row.to_owned(), journal.to_owned(), messages, bytes));
    }

    /// Messages of a frame and bytes of a message, as they were made last.
    pub(crate) fn last_frames(&self, row: &str, journal: &str) -> Option<(f64, f64)> {
        let mut found = self.frames.iter().rev().filter(|frames| frames.0 == row && frames.1 == journal);
        found.next().map(|frames| (frames.2, frames.3))
    }

    fn median(&self, row: &str, side: &str) -> Option<f64> {
        let found = self.figures.iter().find(|figure| figure.row == row && figure.side == side);
        // Ours deduplicates in every row.
        let plain = || row.strip_suffix(", deduplicated").and_then(|row| self.median(row, side));
        found.map(Figure::median).or_else(|| plain().filter(|_| side == "segments" || side == "sled"))
    }

    fn rows(&self) -> Vec<&str> {
        let mut rows: Vec<&str> = Vec::new();
        for figure in &self.figures {
            if !rows.contains(&figure.row.as_str()) {
                rows.push(&figure.row);
            }
        }
        rows
    }

    fn ratios(&self, row: &str) -> [Option<f64>; 3] {
        let of = |side| self.median(row, side);
        let ratio = |one: Option<f64>, other: Option<f64>| Some(one? / other?);
        let segments = of("segments");
        [ratio(segments, of("redis")), ratio(segments, of("nats")), ratio(of("sled"), segments)]
    }

    /// For people: Markdown.
    pub(crate) fn text(&self) -> String {
        let mut text =
            "| workload, messages a second | ours, segments | ours, sled | Redis | NATS | segments / Redis | \
                        segments / NATS | sled / segments |\n|---|---|---|---|---|---|---|---|\n"
                .to_owned();
        for row in self.rows() {
            let medians = COLUMNS.map(|side| number(self.median(row, side)));
            let ratios = self.ratios(row).map(|ratio| ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")));
            text += &format!("| {row} | {} | {} |\n", medians.join(" | "), ratios.join(" | "));
        }
        text += "\n| reference | | ours beside it | ours / reference |\n|---|---|---|---|\n";
        for reference in &self.references {
            let ours = reference.beside.as_ref().and_then(|(row, side)| self.median(row, side));
            let ratio = ours.map_or("–".to_owned(), |ours| format!("{:.2}", ours / reference.median()));
            let (value, ours) = (number(Some(reference.median())), number(ours));
            text += &format!("| {} | {value} | {ours} | {ratio} |\n", reference.row);
        }
        text.trim_end().to_owned()
    }

    /// For programs: medians, and the values of each round.
    pub(crate) fn json(&self) -> Value {
        let workloads = self.rows().into_iter().map(|row| {
            let [redis, nats, sled] = self.ratios(row);
            let mut sides = Map::new();
            for figure in self.figures.iter().filter(|figure| figure.row == row) {
                sides.insert(figure.side.clone(), json!({"median": figure.median(), "rounds": figure.values}));
            }
            json!({"workload": row, "sides": sides, "segments_by_redis": redis, "segments_by_nats": nats,
                "sled_by_segments": sled})
        });
        let references = self.references.iter().map(|figure| {
            let ours = figure.beside.as_ref().and_then(|(row, side)| self.median(row, side));
            json!({"reference": figure.row, "median": figure.median(), "rounds": figure.values, "ours": ours,
                "ours_by_reference": ours.map(|ours| ours / figure.median())})
        });
        json!({"workloads": workloads.collect::<Vec<_>>(), "references": references.collect::<Vec<_>>()})
    }
}

fn number(value: Option<f64>) -> String {
    match value {
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.3}"),
        None => "–".to_owned(),
    }
}
