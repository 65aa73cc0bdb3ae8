//! What happens, as a record of eight bytes; free bytes are whatever follows it, so that a mutation changes one event and no other.

/// The byte after the kind chooses the thread; in a request, its upper bits the destination.
#[derive(Debug)]
pub(super) enum Event<'a> {
    Request(RequestEvent<'a>),
    /// A server's reply, whole or damaged.
    Reply {
        thread: u8,
        which: u8,
        fault: Fault<'a>,
    },
    /// Ticks of a tenth of a second on all threads, each with its wake-ups.
    Ticks(u8),
    /// The time goes on, and nothing ticks meanwhile.
    Jump(u8),
    /// The clock is set back.
    Back(u8),
    Wake {
        thread: u8,
    },
    /// A request is over, or its client has gone.
    End {
        thread: u8,
        which: u8,
    },
    /// An upstream answers a request.
    Answer {
        thread: u8,
        which: u8,
        is_good: bool,
    },
    Reload {
        thread: u8,
    },
    /// Another module writes a value in the place of one that is there.
    Plant {
        which: u8,
        value: &'a [u8],
    },
    /// … copies one over another.
    Copy {
        from: u8,
        to: u8,
    },
    /// … damages one or takes it away.
    Damage {
        which: u8,
        how: u8,
    },
    /// From now on the servers say something else.
    Version(u8),
    /// A reply to no call.
    Late {
        thread: u8,
        which: u8,
    },
}

#[derive(Debug)]
pub(super) struct RequestEvent<'a> {
    pub(super) thread: u8,
    pub(super) token: u8,
    pub(super) place: u8,
    pub(super) second_token: u8,
    pub(super) path: u8,
    pub(super) method: u8,
    pub(super) extra: u8,
    pub(super) destination: u8,
    pub(super) free: &'a [u8],
}

/// What is wrong with a reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault<'a> {
    pub(super) kind: u8,
    pub(super) headers: u8,
    pub(super) at: u8,
    pub(super) free: &'a [u8],
}

impl Fault<'_> {
    pub(super) const NONE: Fault<'static> = Fault { kind: 0, headers: 0, at: 0, free: &[] };
}

impl<'a> Event<'a> {
    pub(super) const BYTES: usize = 8;

    pub(super) fn read(data: &'a [u8]) -> Self {
        let at = |index: usize| data.get(index).copied().unwrap_or_default();
        let free = data.get(Self::BYTES..).unwrap_or_default();
        let free = &free[..free.len().min(usize::from(at(7) & 63))];
        // Most of what happens, happens on the first thread.
        let thread = [0, 0, 1, 2][usize::from(at(1) & 3)];
        let which = at(2);
        match at(0) & 31 {
            0..=10 => Self::Request(RequestEvent {
                thread,
                token: at(2),
                place: at(3),
                second_token: at(4),
                path: at(5),
                method: at(6) & 3,
                extra: at(6) >> 2,
                destination: at(1) >> 2,
                free,
            }),
            11..=14 => Self::Reply { thread, which, fault: Fault::NONE },
            15..=18 => {
                let fault = Fault { kind: at(3) & 15, headers: at(4) & 7, at: at(5), free };
                Self::Reply { thread, which, fault }
            }
            19 | 20 => Self::Ticks(at(2) & at(3) & 31),
            21 => Self::Jump(at(2)),
            22 if at(3) & 3 == 0 => Self::Back(at(2)),
            22 => Self::Ticks(at(2) & 31),
            23 => Self::Wake { thread },
            24 => Self::End { thread, which },
            25 | 26 => Self::Answer { thread, which, is_good: at(3) & 7 == 0 },
            27 if at(3) & 1 == 0 => Self::Reload { thread },
            27 => Self::Ticks(0),
            28 if at(3) & 1 == 0 => Self::Plant { which, value: free },
            28 => Self::Late { thread, which },
            29 => Self::Copy { from: at(2), to: at(3) },
            30 => Self::Damage { which, how: at(3) },
            _ => Self::Version(at(2)),
        }
    }
}
