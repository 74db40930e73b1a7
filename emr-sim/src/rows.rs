//! The lines that a step makes of a claim, each known to be of one message group. How they are written is `encoding`'s.

/// Lines in the order they were made, and whose they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    bytes: Vec<u8>,
    /// Runs of lines of one group.
    runs: Vec<(String, u64)>,
    lines: u64,
}

impl Rows {
    /// Appends one line of a group, without its LF.
    pub fn push(&mut self, group: &str, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
        self.lines += 1;
        match self.runs.last_mut() {
            Some((last, count)) if last == group => *count += 1,
            Some(_) | None => self.runs.push((group.to_owned(), 1)),
        }
    }

    /// Appends all of another.
    pub fn append(&mut self, other: &Rows) {
        self.bytes.extend_from_slice(&other.bytes);
        self.runs.extend(other.runs.iter().cloned());
        self.lines += other.lines;
    }

    /// How many lines.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The lines as JSON Lines, each with its LF.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, given away.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// So many lines from one on; fewer where there are fewer.
    pub(crate) fn part(&self, from: u64, count: u64) -> Self {
        let mut part = Self::default();
        let place = |lines: u64| usize::try_from(lines).unwrap_or(usize::MAX);
        self.iter().skip(place(from)).take(place(count)).for_each(|(group, line)| part.push(group, line));
        part
    }

    /// Each line without its LF, with its group.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let groups = self.runs.iter().flat_map(|(group, count)| (0..*count).map(|_| group.as_str()));
        groups.zip(self.bytes.split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1]))
    }

    /// A digest of all lines and whose they are.
    #[cfg(feature = "parquet")]
    pub(crate) fn digest(&self) -> String {
        let mut hasher = crate::digest::Hasher::default();
        for (group, line) in self.iter() {
            hasher.update(&(group.len() as u64).to_be_bytes());
            hasher.update(group.as_bytes());
            hasher.update(line);
            hasher.update(b"\n");
        }
        hasher.finish()
    }
}
