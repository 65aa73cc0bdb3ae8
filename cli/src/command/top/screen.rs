//! The terminal, and that it is left as it was found.

use std::io::{Write as _, stdout};

use anyhow::{Context, Result};
use attachectl::top::Style;
use crossterm::style::{Attribute, Color, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{cursor, execute, queue, style};

/// The terminal while it is ours: keys come one by one, and what was there before is kept.
#[derive(Debug)]
pub(super) struct Screen {
    has_color: bool,
}

impl Screen {
    /// Takes it. It is given back when this is dropped, and when the program panics.
    pub(super) fn enter() -> Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
        enable_raw_mode().context("this terminal cannot be read key by key")?;
        #[allow(clippy::disallowed_methods, reason = "https://no-color.org")]
        let has_color = std::env::var("NO_COLOR").map_or(true, |value| value.is_empty());
        let screen = Self { has_color };
        execute!(stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }

    /// How many columns and rows it has.
    pub(super) fn size(&self) -> (usize, usize) {
        // Some say that they have none.
        let (width, height) =
            size().ok().filter(|(width, height)| *width > 0 && *height > 0).unwrap_or((80, 24));
        (usize::from(width), usize::from(height))
    }

    /// Shows these lines and nothing else. They fit.
    pub(super) fn draw(&self, lines: &[(String, Style)]) -> Result<()> {
        // One write, so that no half of it is seen.
        let mut frame = Vec::new();
        queue!(frame, BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
        for (place, (line, look)) in lines.iter().enumerate() {
            if place > 0 {
                queue!(frame, cursor::MoveToNextLine(1))?;
            }
            match look {
                Style::Plain => {}
                Style::Heading => queue!(frame, SetAttribute(Attribute::Bold))?,
                Style::Bad if self.has_color => queue!(frame, SetForegroundColor(Color::Red))?,
                Style::Bad => queue!(frame, SetAttribute(Attribute::Reverse))?,
            }
            queue!(frame, style::Print(line), SetAttribute(Attribute::Reset), ResetColor)?;
            queue!(frame, Clear(ClearType::UntilNewLine))?;
        }
        queue!(frame, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        let mut stdout = stdout().lock();
        stdout.write_all(&frame)?;
        stdout.flush()?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Does what can be done: where the terminal is gone, that is nothing.
fn restore() {
    let _ =
        execute!(stdout(), ResetColor, SetAttribute(Attribute::Reset), cursor::Show, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}
