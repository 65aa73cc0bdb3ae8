//! A whole filter on one to three threads, with issuers, token endpoints, callers and other modules that do as the input says: requests,
//! replies, ticks, clock steps, reloads, values planted in shared data.
//!
//! Two bytes choose a [`Shape`], a third what the servers say at first; then each record of eight bytes is an [`Event`]. The oracle
//! knows which keys and tokens there are, and holds each request that is forwarded against the rules.

mod document;
mod event;
mod oracle;
mod servers;
mod tokens;
mod world;

use document::Shape;
use event::Event;
use world::World;

pub(super) fn run(data: &[u8]) {
    let Some((&[shape, halves, version], records)) = data.split_first_chunk() else { return };
    let mut world = World::new(Shape::new(shape, halves), version);
    if shape & STARTS_COLD == 0 {
        world.warm_up();
    }
    for start in (0..records.len()).step_by(Event::BYTES).take(MAX_EVENTS) {
        world.take(&Event::read(&records[start..]));
    }
    world.end();
}

pub(super) fn mutate(_: &[u8], _: u32) -> Option<Vec<u8>> {
    None
}

const STARTS_COLD: u8 = 0x80;
const MAX_EVENTS: usize = 160;
