//! B4: what somebody who watches a queue sees of it.

use lockstep_engine::{
    Rejected,
    explain::{Holder, Reason},
    window::{Lane, Pane, Seen, Window},
    words::{GroupId, SequenceNumber, Timestamp},
};

use crate::world::{MINUTE, QUEUE, World, group, prefix, queue, redrive, strict};

fn pane(lanes: usize, messages: usize) -> Pane {
    Pane { after: None, find: None, lanes, messages, scan: 100 }
}

fn look(world: &World, name: &str, pane: &Pane) -> Window {
    world.engine.window(&queue(name), pane).expect("the queue is there")
}

fn names(window: &Window) -> Vec<&str> {
    window.lanes.iter().map(|lane| lane.group.as_str()).collect()
}

/// The messages of a lane: number, and whether it is held, behind, parked.
fn marks(lane: &Lane) -> Vec<(u64, bool, bool, bool)> {
    let mark = |it: &Seen| (it.sequence.0, it.holder.is_some(), it.is_behind, it.is_parked);
    lane.messages.iter().map(mark).collect()
}

#[test]
fn b4_groups_come_in_the_order_of_their_names_and_in_pages() {
    let mut world = World::with(strict());
    world.fill("c a b a e d");
    let first = look(&world, QUEUE, &pane(2, 10));
    assert_eq!((names(&first), first.next.as_ref().map(GroupId::as_str)), (vec!["a", "b"], Some("b")));
    assert_eq!((first.lanes[0].depth, first.view.groups), (2, 5));
    let rest = look(&world, QUEUE, &Pane { after: first.next, ..pane(3, 10) });
    assert_eq!((names(&rest), &rest.next), (vec!["c", "d", "e"], &None));
    let missing = world.engine.window(&queue("none.fifo"), &pane(1, 1));
    assert_eq!(missing.expect_err("no queue"), Rejected::QueueNotFound);
}

#[test]
fn b4_a_search_looks_at_so_many_groups_and_says_where_it_stopped() {
    let mut world = World::with(strict());
    world.fill("a1 a2 b1 b2 c1");
    let find =
        |scan, after: Option<&str>| Pane { after: after.map(group), find: Some("1".to_owned()), scan, ..pane(10, 1) };
    let all = look(&world, QUEUE, &find(100, None));
    assert_eq!((names(&all), &all.next), (vec!["a1", "b1", "c1"], &None));
    let part = look(&world, QUEUE, &find(2, None));
    assert_eq!((names(&part), part.next.as_ref().map(GroupId::as_str)), (vec!["a1"], Some("a2")));
    assert_eq!(names(&look(&world, QUEUE, &find(2, Some("a2")))), ["b1"]);
}

#[test]
fn o3_a_held_head_bars_its_lane_and_says_who_and_until_when() {
    let mut world = World::with(strict());
    world.fill("g g g h");
    let taken = world.receive_for(1, MINUTE).remove(0);
    let window = look(&world, QUEUE, &pane(10, 2));
    let g = &window.lanes[0];
    assert_eq!((g.reason, g.until, g.depth), (Reason::InFlight, Some(Timestamp(world.now + MINUTE)), 3));
    assert_eq!(marks(g), [(1, true, false, false), (2, false, true, false)], "as many as asked");
    let Some(Holder::Receiver { epoch, until, .. }) = g.messages[0].holder else { panic!("a receive holds it") };
    assert_eq!((epoch, until), (taken.epoch, Timestamp(world.now + MINUTE)));
    assert_eq!((window.lanes[1].reason, g.messages[0].receives), (Reason::Available, 1));
    world.park("h");
    let window = look(&world, QUEUE, &pane(10, 2));
    assert_eq!((window.lanes[1].reason, marks(&window.lanes[1])), (Reason::Parked, vec![(4, false, false, true)]));
    world.delete(&taken).expect("held");
    assert_eq!(
        marks(&look(&world, QUEUE, &pane(10, 9)).lanes[0]),
        [(2, false, false, false), (3, false, false, false)]
    );
}

#[test]
fn q2_a_dead_letter_is_shown_as_one_and_keeps_its_identity() {
    let mut world = World::empty();
    world.create("dead.fifo", prefix()).expect("a new queue");
    world.create(QUEUE, redrive("dead.fifo", 1)).expect("a new queue");
    world.fill("g");
    let sent_to = look(&world, QUEUE, &pane(1, 1)).lanes[0].messages[0].sent_to;
    world.receive_for(1, MINUTE);
    world.pass(2 * MINUTE);
    assert!(world.receive(1).is_empty(), "it goes to the dead letters");
    let letter = look(&world, "dead.fifo", &pane(1, 1)).lanes.remove(0).messages.remove(0);
    assert_eq!((letter.is_dead_letter, letter.sent_to), (true, sent_to));
}

#[test]
fn b5_of_a_standard_queue_every_message_is_a_lane() {
    let mut world = World::empty();
    world.create("plain", lockstep_engine::AttributeChanges::default()).expect("a new queue");
    let entry =
        |n: u32| lockstep_engine::command::SendEntry { explicit_id: false, ..crate::world::entry("x", &n.to_string()) };
    let entries = (0..12).map(entry).collect();
    let send = lockstep_engine::command::Send { queue: queue("plain"), session: None, entries };
    world.ask(&send).expect("sent");
    let first = look(&world, "plain", &pane(10, 5));
    let numbers = |window: &Window| window.lanes.iter().map(|lane| lane.messages[0].sequence).collect::<Vec<_>>();
    assert_eq!(numbers(&first), (1..=10).map(SequenceNumber).collect::<Vec<_>>());
    let rest = look(&world, "plain", &Pane { after: first.next, ..pane(10, 5) });
    assert_eq!((numbers(&rest), rest.next), (vec![SequenceNumber(11), SequenceNumber(12)], None));
}
