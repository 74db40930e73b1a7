//! How many messages a stream may still be delivered: what is granted to the broker, and what waits to be taken.

/// The account of a stream.
#[derive(Debug)]
pub(super) struct Credit {
    /// The most that are granted, or delivered and not taken.
    ahead: u32,
    /// Granted on the present connection, and not delivered.
    granted: u32,
    /// Delivered, and not taken.
    waiting: u32,
    /// So many are to be delivered in all from now on.
    left: u64,
}

impl Credit {
    pub(super) fn new(ahead: u32, left: u64) -> Self {
        Credit { ahead, granted: 0, waiting: 0, left }
    }

    /// What to grant on a new connection; grants on an older one are void.
    pub(super) fn anew(&mut self) -> u32 {
        self.granted = 0;
        self.granted = self.room();
        self.granted
    }

    pub(super) fn delivered(&mut self, messages: usize) {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        self.granted = self.granted.saturating_sub(messages);
        self.waiting = self.waiting.saturating_add(messages);
        self.left = self.left.saturating_sub(messages.into());
    }

    pub(super) fn taken(&mut self, messages: u32) {
        self.waiting = self.waiting.saturating_sub(messages);
    }

    /// What to grant now: nothing, unless it is worth a request.
    pub(super) fn more(&mut self) -> u32 {
        let room = self.room();
        let worth = worth(self.ahead);
        if room < worth && (room == 0 || self.granted + self.waiting > 0) {
            return 0;
        }
        self.granted += room;
        room
    }

    fn room(&self) -> u32 {
        let left = u32::try_from(self.left).unwrap_or(u32::MAX).saturating_sub(self.granted);
        self.ahead.saturating_sub(self.waiting).saturating_sub(self.granted).min(left)
    }
}

/// How many taken messages of so many ahead are worth a word.
pub(super) fn worth(ahead: u32) -> u32 {
    (ahead / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_and_waits_is_never_more_than_was_asked_for() {
        let mut credit = Credit::new(8, u64::MAX);
        assert_eq!(credit.anew(), 8);
        credit.delivered(5);
        assert_eq!(credit.more(), 0, "three are granted, five wait");
        credit.taken(1);
        assert_eq!(credit.more(), 0, "not worth a request yet");
        credit.taken(1);
        assert_eq!(credit.more(), 2);
        assert_eq!(credit.anew(), 5, "on a new connection: all but the three that wait");
    }

    #[test]
    fn no_more_is_granted_than_is_wanted_in_all() {
        let mut credit = Credit::new(4, 6);
        assert_eq!(credit.anew(), 4);
        credit.delivered(4);
        credit.taken(4);
        assert_eq!(credit.more(), 2);
        assert_eq!(credit.anew(), 2, "what was lost on the way does not count");
        credit.delivered(2);
        credit.taken(2);
        assert_eq!((credit.more(), credit.anew()), (0, 0));
    }
}
