//! What the disk gives: a bare sync, and the bare journals with frames of a given size. No broker, no messages.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use bytes::Bytes;
use lockstep_journal::{Frame, FrameNumber, Journal, SegmentsJournal, SegmentsOptions, SledJournal, SledOptions};

use crate::load::at_ms;

/// Appends 4 KiB and syncs, again and again: the median and the 99th percentile in milliseconds.
pub(crate) fn sync(directory: &Path, time: Duration) -> Result<(f64, f64)> {
    let path = directory.join("sync");
    let mut file = File::create(&path)?;
    let mut each = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time {
        let from = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        each.push(from.elapsed().as_nanos() as u64);
    }
    fs::remove_file(path)?;
    each.sort_unstable();
    Ok((at_ms(&each, 0.5), at_ms(&each, 0.99)))
}

/// Frames a second that a bare journal makes durable, of so many bytes in so many bodies each.
/// None is let go: that is what sending alone does.
pub(crate) fn journal(directory: &Path, kind: &str, frame: (usize, usize), time: Duration) -> Result<f64> {
    let path = directory.join("bare-journal");
    let frames = if kind == "sled" {
        append(SledJournal::open(&path, SledOptions::default())?, frame, time)?
    } else {
        append(SegmentsJournal::open(&path, SegmentsOptions::default())?, frame, time)?
    };
    fs::remove_dir_all(path)?;
    Ok(frames)
}

fn append(mut journal: impl Journal, (bytes, bodies): (usize, usize), time: Duration) -> Result<f64> {
    // Text that does not compress to nothing, as bodies are.
    let text: Vec<u8> = (0..bytes).map(|place| b'a' + (place * 7 % 26) as u8).collect();
    let text = Bytes::from(text);
    let each = crate::load::BODY.min(bytes / bodies.max(1));
    let frame = Frame {
        events: text.slice(each * bodies..),
        bodies: (0..bodies).map(|place| text.slice(each * place..each * (place + 1))).collect(),
    };
    let mut number = FrameNumber::FIRST;
    let mut appended = 0;
    let began = Instant::now();
    while began.elapsed() < time {
        journal.append(number, &frame, &[])?;
        number = number.next();
        appended += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    journal.close()?;
    Ok(f64::from(appended) / seconds)
}
