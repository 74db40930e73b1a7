//! Steps beyond the two first jobs, from outside: mappers, counting, poison under each policy, other forms of files; each
//! with the verdict of the pipeline and of `verify`.

use std::{io::BufRead as _, path::Path, process::Stdio, time::Instant};

use crate::world::{ended, lockstep, run};

const ZERO: &str = "lost 0, duplicated 0, out of order 0";

/// Answers each message with its group and its text in capitals; exits with 3 over a text that says so.
const SHOUTING: &str = r#"
import json, sys
for line in sys.stdin:
    record = json.loads(line)
    text = json.loads(record["body"])["text"]
    if text == "poison":
        sys.exit(3)
    print(json.dumps({"group": record["group"], "text": text.upper()}))
"#;

/// 20 groups of 30 messages; the texts at the places, by (turn, group), are poison.
fn day(folder: &Path, poison: &[(u32, u32)]) -> String {
    let mut lines = String::new();
    for turn in 0..30 {
        for group in 0..20 {
            let text = if poison.contains(&(turn, group)) { "poison".to_owned() } else { format!("t{turn}") };
            lines += &format!("{{\"conversation_id\":\"c{group}\",\"turn\":{turn},\"text\":\"{text}\"}}\n");
        }
    }
    let path = folder.join("day.jsonl");
    std::fs::write(&path, lines).unwrap();
    path.to_str().unwrap().to_owned()
}

fn pipeline(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let (input, out, data) = (folder.join("day.jsonl"), folder.join("out"), folder.join("data"));
    let fixed = ["--input", input.to_str().unwrap(), "--out", out.to_str().unwrap(), "--data", data.to_str().unwrap()];
    ended(&run(&[&["pipeline", "--journal", "segments"], &fixed[..], arguments].concat()))
}

/// `verify` says ok, in the same words as the pipeline did.
fn verified(folder: &Path, said: &str) {
    let (input, out) = (folder.join("day.jsonl"), folder.join("out"));
    let (code, again, err) =
        ended(&run(&["verify", "--out", out.to_str().unwrap(), "--input", input.to_str().unwrap()]));
    assert_eq!((code, again.as_str()), (0, said), "{err}");
}

fn shouting(folder: &Path) -> String {
    let path = folder.join("shout me.py");
    std::fs::write(&path, SHOUTING).unwrap();
    format!("python3 '{}'", path.display())
}

#[test]
fn a_mapper_publishes_each_message_once_under_chaos_in_gzip() {
    let folder = tempfile::tempdir().unwrap();
    day(folder.path(), &[]);
    let mapper = shouting(folder.path());
    let arguments = ["--mapper", &mapper, "--format", "jsonl.gz", "--chaos", "--seed", "3"];
    let (code, said, err) = pipeline(folder.path(), &arguments);
    assert!(code == 0 && said.contains("processed 600") && said.contains(ZERO), "{said}{err}");
    verified(folder.path(), &said);
    let joined = std::fs::read_to_string(folder.path().join("out/mapper.jsonl")).unwrap();
    assert_eq!(joined.lines().count(), 600);
    let of_group = joined.lines().filter(|line| line.contains("\"c7\""));
    let expected: Vec<_> = (0..30).map(|turn| format!("{{\"group\": \"c7\", \"text\": \"T{turn}\"}}")).collect();
    assert_eq!(of_group.collect::<Vec<_>>(), expected);
    // Joined, it is the same output: the verdict is, and the same command finds nothing left to do.
    let out = folder.path().join("out");
    let compact = || ended(&run(&["emr", "compact", out.to_str().unwrap()]));
    let (code, told, err) = compact();
    assert!(code == 0 && told.contains("commits in 1 files"), "{told}{err}");
    verified(folder.path(), &said);
    assert_eq!(pipeline(folder.path(), &arguments).1, said);
    verified(folder.path(), &said);
    std::fs::remove_file(out.join("manifest.jsonl")).unwrap();
    let (code, _, err) = compact();
    assert!(code == 1 && err.contains("holds no manifest"), "{err}");
}

#[test]
fn poison_is_dead_lettered_and_counted_apart() {
    let folder = tempfile::tempdir().unwrap();
    day(folder.path(), &[(3, 4), (9, 4), (11, 17)]);
    let mapper = shouting(folder.path());
    let arguments = ["--mapper", &mapper, "--on-poison", "dlq", "--max-receives", "3", "--format", "jsonl.zst"];
    let (code, said, err) = pipeline(folder.path(), &arguments);
    assert!(code == 0 && said.contains("processed 597, dead-lettered 3, lost 0"), "{said}{err}");
    verified(folder.path(), &said);
}

#[test]
fn a_poisoned_group_is_parked_and_the_others_flow() {
    let folder = tempfile::tempdir().unwrap();
    day(folder.path(), &[(10, 4)]);
    let mapper = shouting(folder.path());
    let (code, said, err) = pipeline(folder.path(), &["--mapper", &mapper, "--on-poison", "park"]);
    assert!(code == 0 && said.contains("processed 580, parked 20, lost 0"), "{said}{err}");
    verified(folder.path(), &said);
}

#[test]
fn a_job_meets_poison_where_it_is_set_aside_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    day(folder.path(), &[]);
    let input = folder.path().join("day.jsonl");
    let bad = "{\"conversation_id\":\"c1\",\"turn\":\"x\",\"sender\":\"agent\"}\n";
    let good = "{\"conversation_id\":\"c1\",\"turn\":1,\"sender\":\"agent\",\"text\":\"Hi\"}\n";
    std::fs::write(&input, good.to_owned() + bad + &good.replace("Hi", "Bye")).unwrap();
    let (code, _, err) = pipeline(folder.path(), &["--job", "reply-pairs"]);
    assert!(code == 1 && err.contains("line 2"), "{err}");
    let (code, said, err) = pipeline(folder.path(), &["--job", "reply-pairs", "--on-poison", "dlq"]);
    assert!(code == 0 && said.contains("processed 2, dead-lettered 1, lost 0"), "{said}{err}");
    verified(folder.path(), &said);
}

#[test]
fn a_count_is_one_line_a_group() {
    let folder = tempfile::tempdir().unwrap();
    day(folder.path(), &[]);
    let (code, said, err) = pipeline(folder.path(), &["--job", "count", "--chaos", "--seed", "5"]);
    assert!(code == 0 && said.contains("processed 600") && said.contains(ZERO), "{said}{err}");
    verified(folder.path(), &said);
    let joined = std::fs::read_to_string(folder.path().join("out/count.jsonl")).unwrap();
    assert_eq!(joined.lines().count(), 20);
    assert!(joined.lines().all(|line| line.contains("\"messages\":30,")), "{joined}");
}

#[test]
fn a_mapper_that_always_fails_ends_the_run_with_its_exit_code_and_last_words() {
    let folder = tempfile::tempdir().unwrap();
    day(folder.path(), &[]);
    let mapper = "sh -c 'cat >/dev/null; echo no table >&2; exit 3'";
    let (code, _, err) = pipeline(folder.path(), &["--mapper", mapper]);
    assert!(code == 1 && err.contains("exit code 3") && err.contains("no table"), "{err}");
}

#[test]
fn what_cannot_run_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    day(folder.path(), &[]);
    for (arguments, words) in [
        (&["--job", "transscript"][..], &["transcript", "reply-pairs", "count"][..]),
        (&["--mapper", "no-such-program"], &["no-such-program", "python3 my.py"]),
        (&["--mapper", "python3 'my.py"], &["never closed"]),
        (&["--mapper", "cat", "--job", "count"], &["--job"]),
        (&["--format", "orc"], &["jsonl.gz", "parquet"]),
        (&["--on-poison", "ignore"], &["fail", "dlq", "park"]),
        (&["--time-limit", "0"], &["time limit"]),
    ] {
        let (code, said, err) = pipeline(folder.path(), arguments);
        assert!(code == 2 && said.is_empty() && words.iter().all(|word| err.contains(word)), "{arguments:?}: {err}");
    }
    if !cfg!(feature = "parquet") {
        let (code, _, err) = pipeline(folder.path(), &["--format", "parquet"]);
        assert!(code == 2 && err.contains("cargo feature `parquet`"), "{err}");
    }
    assert!(!folder.path().join("out/manifest.jsonl").exists());
}

#[test]
fn a_mapper_ends_with_its_worker_even_when_it_hangs() {
    let mut guard = lockstep(&["mapper-guard", "--", "sh", "-c", "echo $$; exec sleep 1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = std::io::BufReader::new(guard.stdout.take().unwrap());
    let mut pid = String::new();
    stdout.read_line(&mut pid).unwrap();
    let status = format!("/proc/{}/stat", pid.trim());
    assert!(Path::new(&status).exists());
    // What the death of the worker looks like from here.
    drop(stdout);
    let began = Instant::now();
    while std::fs::read_to_string(&status).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(began.elapsed().as_secs() < 30, "the mapper lives on");
        std::thread::yield_now();
    }
    guard.wait().unwrap();
}

#[test]
fn a_mapper_ends_as_its_guard_does() {
    let code = |script: &str| run(&["mapper-guard", "--", "sh", "-c", script]).status;
    assert_eq!(code("exit 3").code(), Some(3));
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&code("kill -9 $$")), Some(9));
}
