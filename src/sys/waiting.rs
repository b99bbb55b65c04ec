//! Waiting for somebody else, and saying so to whoever wants to know.
//!
//! Owns the one loop that asks again, and the pause before it does. Who is told, and how it is shown, is the caller's.

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Who is told, again and again, what is waited for, and with `None` that it is over.
type Told = dyn Fn(Option<&str>);

/// Whom to tell what is waited for.
#[derive(Clone, Default)]
pub struct Waiting(Option<Rc<Told>>);

impl Waiting {
    /// Tell nobody.
    pub fn silent() -> Self {
        Self::default()
    }

    /// Tell this one, each time that is asked again.
    pub fn told(told: impl Fn(Option<&str>) + 'static) -> Self {
        Self(Some(Rc::new(told)))
    }

    /// Ask until there is an answer, with a `pause` between, and no longer than `patience`: then `None`.
    ///
    /// # Errors
    /// The errors of `ask`.
    pub fn until<T, E>(
        &self,
        what: &str,
        patience: Duration,
        pause: Duration,
        mut ask: impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let deadline = Instant::now() + patience;
        let mut is_told = false;
        let answer = loop {
            match ask() {
                Ok(None) if Instant::now() < deadline => {}
                answer => break answer,
            }
            self.tell(Some(what));
            is_told = true;
            rest(pause);
        };
        if is_told {
            self.tell(None);
        }
        answer
    }

    /// Tell what is waited for, or that it is over.
    pub fn tell(&self, what: Option<&str>) {
        if let Some(told) = &self.0 {
            told(what);
        }
    }
}

/// The time since 1970: seconds and nanoseconds.
pub fn now() -> (i64, i64) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos().into())
}

/// Do nothing for so long. Where a filter of system calls refuses that it returns at once; the standard library's
/// `sleep` would panic.
pub fn rest(duration: Duration) {
    if let Ok(time) = duration.try_into() {
        let _ = rustix::thread::nanosleep(&time);
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn it_is_told_while_there_is_no_answer_and_once_more() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&log);
        let waiting = Waiting::told(move |what| kept.borrow_mut().push(what.map(str::to_owned)));
        let mut rest = 2;
        let mut ask = || {
            rest -= 1;
            Ok::<_, ()>((rest < 0).then_some(rest))
        };
        let minute = Duration::from_secs(60);
        assert_eq!(waiting.until("you", minute, Duration::ZERO, &mut ask), Ok(Some(-1)));
        assert_eq!(*log.borrow(), [Some("you".to_owned()), Some("you".to_owned()), None]);
        // Nobody waits for what is there.
        assert_eq!(waiting.until("you", minute, Duration::ZERO, &mut ask), Ok(Some(-2)));
        assert_eq!(
            waiting.until("you", Duration::ZERO, Duration::ZERO, || Ok::<Option<()>, ()>(None)),
            Ok(None)
        );
        assert_eq!(waiting.until("you", minute, Duration::ZERO, || Err::<Option<()>, _>(1)), Err(1));
        assert_eq!(log.borrow().len(), 3);
    }
}
