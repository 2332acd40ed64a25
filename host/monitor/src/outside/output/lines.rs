//! An app's output as lines, each with the time, the app's name and its process id before it.

use rustix::time::{ClockId, clock_gettime};

/// A longer line is cut into several, in bytes.
const LONGEST: usize = 16 * 1024;

/// Turns bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    who: String,
    for_terminal: bool,
    unfinished: Vec<u8>,
}

impl Lines {
    /// Lines of `who`. For a terminal, what would steer it is made visible instead.
    pub(crate) fn of(who: String, for_terminal: bool) -> Self {
        Self { who, for_terminal, unfinished: Vec::new() }
    }

    /// Adds bytes, and appends the lines that they finish to `out`.
    pub(crate) fn add(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            for chunk in text.chunks(LONGEST) {
                if self.unfinished.len() + chunk.len() > LONGEST {
                    self.put(out);
                }
                self.unfinished.extend_from_slice(chunk);
            }
            if is_whole {
                self.put(out);
            }
        }
    }

    /// The last line may have no end of its own.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.unfinished.is_empty() {
            self.put(out);
        }
    }

    fn put(&mut self, out: &mut Vec<u8>) {
        let now = clock_gettime(ClockId::Monotonic);
        let prefix = format!("[{:>6}.{:06}] {}: ", now.tv_sec, now.tv_nsec / 1000, self.who);
        out.extend_from_slice(prefix.as_bytes());
        let text = self.unfinished.strip_suffix(b"\r").unwrap_or(&self.unfinished);
        if self.for_terminal {
            for chunk in text.utf8_chunks() {
                chunk.valid().chars().for_each(|character| put_visibly(character, out));
                out.extend(chunk.invalid().iter().map(|_| b'?'));
            }
        } else {
            out.extend_from_slice(text);
        }
        out.push(b'\n');
        self.unfinished.clear();
    }
}

fn put_visibly(character: char, out: &mut Vec<u8>) {
    match character {
        '\t' => out.push(b'\t'),
        '\0'..='\x1f' => out.extend([b'^', character as u8 + b'@']),
        '\x7f'..='\u{9f}' => out.push(b'?'),
        character => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines without their times.
    fn lines(for_terminal: bool, chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::of("db[2]".to_owned(), for_terminal);
        let mut out = Vec::new();
        for chunk in chunks {
            lines.add(chunk, &mut out);
        }
        lines.finish(&mut out);
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| line.split_once("] ").unwrap().1.to_owned()).collect()
    }

    #[test]
    fn lines_are_whole_however_they_come_and_the_last_needs_no_end() {
        assert_eq!(
            lines(false, &[b"one\ntw", b"o\n\nthr", b"ee"]),
            ["db[2]: one", "db[2]: two", "db[2]: ", "db[2]: three"]
        );
    }

    #[test]
    fn the_time_is_seconds_since_the_start_of_the_machine() {
        let mut out = Vec::new();
        Lines::of("a[1]".to_owned(), false).add(b"x\n", &mut out);
        let text = String::from_utf8(out).unwrap();
        let time = text.strip_prefix('[').unwrap().split_once(']').unwrap().0;
        assert!(time.trim().parse::<f64>().unwrap() > 0.0 && time.len() >= 13, "{text}");
    }

    #[test]
    fn a_line_without_end_is_cut_and_nothing_of_it_is_lost() {
        let long = vec![b'x'; 3 * LONGEST + 5];
        let cut = lines(false, &[&long, b"\n"]);
        assert_eq!(cut.len(), 4);
        assert_eq!(cut.iter().map(|line| line.len() - "db[2]: ".len()).sum::<usize>(), long.len());
    }

    #[test]
    fn a_terminal_is_not_steered() {
        assert_eq!(lines(true, &["\x1b[2Jä\u{9b}1m\ttab\r\n".as_bytes()]), ["db[2]: ^[[2Jä?1m\ttab"]);
        assert_eq!(lines(true, &[b"\xff\n"]), ["db[2]: ?"]);
        assert_eq!(lines(false, &[b"\x1b[1m\n"]), ["db[2]: \x1b[1m"]);
    }
}
