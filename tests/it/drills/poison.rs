//! Drills with a message that the mapper cannot process: under each ActionOnFailure, dead-lettered, parked.

use serde_json::json;

use super::{
    ground::{Drill, GROUPS, QUEUE, TURNS},
    seeds,
};

/// Fails over the poison until somebody mends it.
const MAPPER: &str = r#"
lines=$(cat)
case $lines in
  *poison*) [ -e "$1" ] || { echo "this is poison" >&2; exit 3; } ;;
esac
printf '%s\n' "$lines" | sed -n 's/^{"group":"\([^"]*\)".*/{"group":"\1"}/p'
"#;

/// A drill with one poisoned message, its turn, and the words of the mapper.
fn poisoned(what: &str, seed: u64) -> (Drill, u32, String) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (turn, group) = (rng.u32(0..TURNS), rng.u32(0..GROUPS));
    let drill = Drill::with_poison(what, seed, &[(turn, group)]);
    std::fs::write(drill.path("mapper.sh"), MAPPER).unwrap();
    let mapper = format!("sh {} {}", drill.path("mapper.sh"), drill.path("mended"));
    (drill, turn, mapper)
}

#[test]
fn poison_fails_the_step_and_its_action_is_taken() {
    for seed in seeds() {
        for (action, second, then) in [
            ("CONTINUE", "COMPLETED", "WAITING"),
            ("CANCEL_AND_WAIT", "CANCELLED", "WAITING"),
            ("TERMINATE_CLUSTER", "CANCELLED", "TERMINATED_WITH_ERRORS"),
            ("TERMINATE_JOB_FLOW", "CANCELLED", "TERMINATED_WITH_ERRORS"),
        ] {
            let (drill, _, mapper) = poisoned(&format!("poison under {action}"), seed);
            drill.good(&["queue", "create", "other.fifo"]);
            drill.send();
            let cluster = drill.cluster(2);
            let other = drill.path("other");
            let later = ["--job", "count", "--input", "other.fifo", "--output", &other];
            let step = ["--mapper", &mapper];
            let ids = drill.steps(&cluster, &[(action, &step), ("CONTINUE", &later)]);
            let status = drill.end_of(&cluster, &ids[0]);
            let failure = &status["FailureDetails"];
            assert_eq!((&status["State"], &failure["Reason"]), (&"FAILED".into(), &"Application Error.".into()));
            let message = failure["Message"].as_str().unwrap();
            assert!(message.contains("exit code 3") && message.contains("this is poison"), "{message}");
            assert_eq!(drill.end_of(&cluster, &ids[1])["State"], second, "{action}");
            drill.until(then, || {
                let shown = drill.emr("DescribeCluster", &json!({ "ClusterId": cluster }));
                (shown["Cluster"]["Status"]["State"] == then).then_some(())
            });
            // Mended, the same step goes on.
            std::fs::write(drill.path("mended"), "").unwrap();
            let cluster = drill.cluster(2);
            let again = drill.steps(&cluster, &[("CONTINUE", &step)]).remove(0);
            drill.completed(&cluster, &again);
            drill.verdict(&format!("FAILED; the next step {second}, the cluster {then}; mended, it went on"));
        }
    }
}

#[test]
fn poison_is_set_aside() {
    for seed in seeds() {
        for policy in ["dlq", "park"] {
            let (drill, turn, mapper) = poisoned(&format!("poison under -on-poison {policy}"), seed);
            drill.good(&["queue", "create", "dead.fifo"]);
            drill.good(&["queue", "set", QUEUE, "--dead-letter-queue", "dead.fifo", "--max-receives", "3"]);
            drill.send();
            let cluster = drill.cluster(2);
            // What is parked is no work: the step ends with it there.
            let step = ["--mapper", &mapper, "--on-poison", policy, "--idle-seconds", "1"];
            let step = drill.steps(&cluster, &[("TERMINATE_CLUSTER", &step)]).remove(0);
            drill.completed(&cluster, &step);
            let aside = if policy == "dlq" {
                let queue = drill.good(&["--json", "queue", "describe", "dead.fifo"]);
                assert!(queue.contains("\"messages_available\":1"), "{queue}");
                "1 dead-lettered".to_owned()
            } else {
                format!("{} parked", TURNS - turn)
            };
            drill.verdict(&format!("COMPLETED, {aside}"));
        }
    }
}
