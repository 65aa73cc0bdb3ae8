//! The view that goes on.

use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use attachectl::printing::escaped;
use attachectl::top::{Admin, Style};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, poll, read};

use super::reading::Reading;
use super::screen::Screen;
use crate::command::signal::Signals;

/// Shows readings until it is told to end.
pub(super) fn run(admin: &Admin, interval: Duration, signals: &Signals) -> Result<ExitCode> {
    let (stop, readings) = start(admin.clone(), interval)?;
    let screen = Screen::enter()?;
    let mut shown = Shown { admin: admin.shown(), interval, before: None, now: None, fault: None };
    let mut is_stale = true;
    loop {
        while let Ok(reading) = readings.try_recv() {
            shown.take(reading);
            is_stale = true;
        }
        if is_stale {
            let (width, height) = screen.size();
            screen.draw(&shown.lines(width, height))?;
            is_stale = false;
        }
        if signals.wait_for(Duration::ZERO) {
            break;
        }
        if poll(GLANCE).context("cannot read keys from the terminal")? {
            match read()? {
                Event::Key(key) if key.kind == KeyEventKind::Release => {}
                Event::Key(key) => {
                    let is_control_c =
                        key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                    if is_control_c || matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc) {
                        break;
                    }
                }
                Event::Resize(..) => is_stale = true,
                Event::FocusGained | Event::FocusLost | Event::Mouse(_) => {}
            }
        }
    }
    drop(stop);
    Ok(ExitCode::SUCCESS)
}

/// Reads the page on a thread of its own, so that keys count while it is slow. It ends when the sender is dropped.
fn start(
    admin: Admin,
    interval: Duration,
) -> Result<(std::sync::mpsc::Sender<()>, Receiver<Result<Reading>>)> {
    let (stop, stopped) = channel::<()>();
    let (sender, readings) = channel();
    std::thread::Builder::new().name("readings".into()).spawn(move || {
        loop {
            if sender.send(Reading::take(&admin)).is_err() {
                return;
            }
            if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    })?;
    Ok((stop, readings))
}

/// What is on the screen.
struct Shown {
    admin: String,
    interval: Duration,
    before: Option<Reading>,
    now: Option<Reading>,
    /// Why there is nothing newer.
    fault: Option<String>,
}

impl Shown {
    fn take(&mut self, reading: Result<Reading>) {
        match reading {
            Ok(reading) => {
                self.before = self.now.replace(reading);
                self.fault = None;
            }
            Err(error) => self.fault = Some(escaped(&format!("{error:#}")).into_owned()),
        }
    }

    fn lines(&self, width: usize, height: usize) -> Vec<(String, Style)> {
        let head = format!("attachectl top: {}, every {} s; q ends", self.admin, self.interval.as_secs());
        let mut lines = vec![(head, Style::Plain)];
        match (&self.fault, &self.now) {
            (Some(fault), now) => {
                let old = if now.is_some() { "; below is what it said before" } else { "" };
                lines.push((format!("cannot be read, trying again: {fault}{old}"), Style::Bad));
            }
            (None, None) => lines.push(("reading ...".to_owned(), Style::Plain)),
            (None, Some(_)) => {}
        }
        for (line, _) in &mut lines {
            // An error may name what is not ASCII.
            *line =
                line.chars().map(|letter| if letter.is_ascii() { letter } else { '?' }).take(width).collect();
        }
        lines.truncate(height);
        if let Some(now) = &self.now {
            let view = now.view(self.before.as_ref());
            lines.extend(view.lines(width, height.saturating_sub(lines.len())));
        }
        lines
    }
}

/// How long a key waits at most.
const GLANCE: Duration = Duration::from_millis(100);
