//! A drill on the disk of the output: a small file system of its own, which is full. Needs the right to mount one;
//! where that is missing, the test says so.

use std::process::{Command, Stdio};

use super::{ground::Drill, seeds};

/// A file system in memory, mounted.
struct Mounted(String);

impl Mounted {
    fn new(place: String, size: &str) -> Option<Self> {
        std::fs::create_dir(&place).unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", &place]).then_some(Self(place))
    }

    fn resize(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,size={size}"), &self.0]));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Processes that end still hold it for a moment.
        let _ = Command::new("umount").args(["-l", &self.0]).status();
    }
}

fn mount(arguments: &[&str]) -> bool {
    Command::new("mount").args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn the_disk_of_the_output_is_full() {
    for seed in seeds() {
        let mut drill = Drill::new("the output's disk is full", seed);
        // There is room for nothing, or for some claims.
        let size = format!("{}k", [64, 700, 1_200][drill.rng.usize(0..3)]);
        let Some(disk) = Mounted::new(drill.path("out"), &size) else {
            println!("skipped: no file system can be mounted here");
            return;
        };
        drill.send();
        let cluster = drill.cluster(2);
        let step = drill.transcript(&cluster, &[]);
        let status = drill.end_of(&cluster, &step);
        let failure = &status["FailureDetails"];
        assert_eq!((&status["State"], &failure["Reason"]), (&"FAILED".into(), &"Disk Error.".into()), "{status}");
        let message = failure["Message"].as_str().unwrap();
        assert!(message.contains("No space left") && message.contains("add the same step again"), "{message}");
        let before = drill.published().len();
        disk.resize("64m");
        let step = drill.transcript(&cluster, &[]);
        drill.completed(&cluster, &step);
        drill.verdict(&format!("FAILED, Disk Error., after {before} commits at {size}; with room the step went on"));
        drop(disk);
    }
}
