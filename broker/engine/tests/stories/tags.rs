//! Tags of queues (L12).

use lockstep_engine::{
    Rejected,
    command::{CreateQueue, TagQueue, UntagQueue},
    words::{TagKey, TagValue, Tags},
};

use crate::world::{HOUR, QUEUE, World, queue, queue_name, strict};

fn tag(text: &str) -> (TagKey, TagValue) {
    let (key, value) = text.split_once('=').expect("a key and a value");
    (TagKey::parse(key).expect("a key"), TagValue::parse(value).expect("a value"))
}

fn tags(texts: &[&str]) -> Tags {
    texts.iter().map(|text| tag(text)).collect()
}

fn numbered(numbers: std::ops::Range<u32>) -> Tags {
    numbers.map(|n| tag(&format!("key-{n}=v"))).collect()
}

fn put(world: &mut World, tags: Tags) -> Result<(), Rejected> {
    world.ask(&TagQueue { queue: queue(QUEUE), tags })
}

fn seen(world: &World) -> Tags {
    world.engine.tags(&queue(QUEUE)).expect("a queue")
}

#[test]
fn l12_tags_are_given_at_creation_replaced_by_key_and_removed() {
    let mut world = World::empty();
    let create = |tags| CreateQueue { name: queue_name(QUEUE), attributes: strict(), tags };
    assert!(world.ask(&create(tags(&["team=blue", "stage=test"]))).expect("a new queue").created);
    assert!(!world.ask(&create(tags(&["team=red"]))).expect("it is there").created);
    assert_eq!(seen(&world), tags(&["team=blue", "stage=test"]), "those of a queue that is there stay");
    put(&mut world, tags(&["team=red", "empty="])).expect("tagged");
    let facts = world.journal.len();
    put(&mut world, tags(&["team=red"])).expect("harmless to repeat");
    assert_eq!(world.journal.len(), facts, "nothing changed");
    let keys = vec![tag("stage=").0, tag("nobody=").0];
    world.ask(&UntagQueue { queue: queue(QUEUE), keys }).expect("one was not there");
    world.fill("g");
    assert_eq!(world.purge(), 1);
    world.restart_after(HOUR);
    assert_eq!(seen(&world), tags(&["team=red", "empty="]), "a purge and a restart leave them");
}

#[test]
fn l12_a_queue_has_at_most_50_tags() {
    let mut world = World::empty();
    let create = |tags| CreateQueue { name: queue_name(QUEUE), attributes: strict(), tags };
    assert_eq!(world.ask(&create(numbered(0..51))), Err(Rejected::TooManyTags { tags: 51 }));
    world.ask(&create(numbered(0..49))).expect("a new queue");
    assert_eq!(put(&mut world, numbered(48..51)), Err(Rejected::TooManyTags { tags: 51 }));
    assert_eq!(seen(&world), numbered(0..49), "all or nothing");
    put(&mut world, numbered(48..50)).expect("50 at most");
    assert_eq!(seen(&world), numbered(0..50));
    world.ask(&UntagQueue { queue: queue(QUEUE), keys: numbered(0..50).into_keys().collect() }).expect("untagged");
    assert_eq!(seen(&world), Tags::new());
}

#[test]
fn l12_keys_have_1_to_128_characters_and_values_0_to_256() {
    let text = |characters| "ü".repeat(characters);
    let keys = [0, 1, 128, 129].map(|characters| TagKey::parse(&text(characters)).is_ok());
    assert_eq!(keys, [false, true, true, false]);
    let values = [0, 256, 257].map(|characters| TagValue::parse(&text(characters)).is_ok());
    assert_eq!(values, [true, true, false]);
}
