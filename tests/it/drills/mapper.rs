//! Drills on mappers: killed, hanging, printing garbage, once; the claim is tried again and nothing of it is published.

use rustix::process::Signal;

use super::{
    ground::{Drill, signal},
    seeds,
};

/// Answers each message with its group. One run takes the order, and does as it says.
const MAPPER: &str = r#"
order=$1
if mv "$order" "$order.taken" 2>/dev/null; then does=$(cat "$order.taken"); fi
if [ "$does" = sleep ]; then
  echo $$ > "$order.pid.new"
  mv "$order.pid.new" "$order.pid"
  exec sleep 1000
fi
lines=$(cat)
case $does in
  'no json') echo '{this is no JSON' ;;
  'no text') printf '{"group":"c1","text":"\377\376"}\n' ;;
  'no group') echo '{"group":"nobody"}' ;;
  much) yes '{"group":"c1"}' ;;
esac
printf '%s\n' "$lines" | sed -n 's/^{"group":"\([^"]*\)".*/{"group":"\1"}/p'
"#;

/// Runs a step whose mapper does once what it must not; the line of the step's log about it.
fn drilled(what: &str, seed: u64, order: &str, flags: &[&str], expected: &str) {
    let drill = Drill::new(what, seed);
    std::fs::write(drill.path("mapper.sh"), MAPPER).unwrap();
    std::fs::write(drill.path("order"), order).unwrap();
    drill.send();
    let cluster = drill.cluster(2);
    let mapper = format!("sh {} {}", drill.path("mapper.sh"), drill.path("order"));
    let words = [&["--mapper", &mapper][..], flags].concat();
    let step = drill.steps(&cluster, &[("CONTINUE", &words)]).remove(0);
    if flags.is_empty() && order == "sleep" {
        let pid = drill.until("the mapper", || std::fs::read_to_string(drill.path("order.pid")).ok());
        signal(pid.trim().parse().unwrap(), Signal::KILL);
    }
    drill.completed(&cluster, &step);
    let said = drill.said(&cluster, &step, "attempts failed");
    assert!(said.contains(expected), "{said}");
    drill.verdict(&format!("the attempt failed ({expected}), the next one did it"));
}

#[test]
fn a_mapper_is_killed_or_hangs() {
    for seed in seeds() {
        drilled("mapper SIGKILLed from outside", seed, "sleep", &[], "signal: 9");
        drilled("mapper hangs", seed, "sleep", &["-mapper-seconds", "5"], "hung");
    }
}

#[test]
fn a_mapper_prints_garbage() {
    for seed in seeds() {
        drilled("mapper prints bad JSON", seed, "no json", &[], "line 1");
        drilled("mapper prints what is no UTF-8", seed, "no text", &[], "line 1");
        drilled("mapper names a group that is not of its batch", seed, "no group", &[], "nobody");
        drilled("mapper prints too much", seed, "much", &["-mapper-output-bytes", "1000000"], "more than");
    }
}
