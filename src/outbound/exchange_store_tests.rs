#![allow(clippy::arithmetic_side_effects)]

use super::*;
use crate::base::Secret;

const NOW: Timestamp = Timestamp::from_secs(1_000);
const ROOM: usize = 10_000;

fn store() -> ExchangeStore {
    let bounds = ExchangeBounds { bytes: ROOM, pending_bytes: ROOM, known: 2 };
    ExchangeStore::new(Rc::new(Client::example("Bearer ")), bounds, NOW)
}

fn subject(number: u8, bytes: usize) -> Subject {
    Subject { digest: [number; 32], token: Secret::new(vec![b'x'; bytes]), expires: Timestamp::MAX }
}

fn held(number: u8, bytes: usize, known: &IssuedTokens) -> Token {
    let life = Lifetime { expires: Timestamp::MAX, until: Timestamp::MAX, renewal: Timestamp::MAX };
    let token = Secret::new([vec![b'0' + number], vec![b'x'; bytes - 1]].concat());
    Token::new(&Client::example(""), &token, NOW, life, known)
}

#[test]
fn subjects_take_their_bytes_and_not_one_more_but_one_may_always_wait() {
    let (mut store, mut known) = (store(), IssuedTokens::new([3; 16]));
    let half = ROOM / 2 - ENTRY_BYTES;
    for number in [1, 2] {
        assert!(matches!(store.get(&subject(number, half), true, &mut known, NOW), Exchanged::Wait));
    }
    assert_eq!(store.pending_bytes, ROOM);
    assert!(matches!(store.get(&subject(3, 0), true, &mut known, NOW), Exchanged::Full));
    // Where the endpoint cannot be asked in time, nothing is written down.
    assert!(matches!(store.get(&subject(3, 0), false, &mut known, NOW), Exchanged::Wait));
    assert_eq!(store.entries.len(), 2);
    store.handle_clock_step(&mut known, NOW);
    assert_eq!((store.pending_bytes, store.entries.len(), store.wanted.len()), (0, 0, 0));
    assert!(matches!(store.get(&subject(4, ROOM), true, &mut known, NOW), Exchanged::Wait));
    assert!(matches!(store.get(&subject(5, 0), true, &mut known, NOW), Exchanged::Full));
}

#[test]
fn outcomes_take_their_bytes_and_not_one_more_and_the_oldest_gives_way() {
    let (mut store, mut known) = (store(), IssuedTokens::new([3; 16]));
    let half = ROOM / 2 - ENTRY_BYTES - size_of::<Token>();
    for number in 1..=6 {
        let token = held(number, half, &known);
        assert!(store.make_room(token.size() + ENTRY_BYTES, &mut known));
        store.put([number; 32], State::Held(token), &mut known);
    }
    assert_eq!((store.bytes, store.entries.len(), store.uses.len()), (ROOM, 2, 2));
    assert!(store.entries.contains_key(&[5; 32]) && store.entries.contains_key(&[6; 32]));
    // Two that are held, and two that were.
    assert_eq!(known.len(), 4);
    assert!(!store.make_room(ROOM + 1, &mut known));
    assert_eq!(store.entries.len(), 2);
    store.handle_clock_step(&mut known, NOW);
    assert_eq!((store.bytes, store.entries.len(), store.uses.len(), known.len()), (0, 0, 0, 2));
}
