//! Enough of Redis' protocol to ask a server how it is: requests as arrays of strings, replies as values.
//!
//! Owns the bytes of one request and one reply. Not a client: no pool, no pipelining, no retries.

use std::io::{self, BufRead, BufReader, Read, Write};

/// What a server of Redis answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A status, such as `OK`.
    Status(String),
    /// What the server refuses, with its code first, such as `NOAUTH ...`.
    Refused(String),
    /// A number.
    Number(i64),
    /// A string of bytes.
    Bytes(Vec<u8>),
    /// Nothing there.
    Nil,
    /// Several replies.
    List(Vec<Reply>),
}

impl Reply {
    /// Gives the text of a status, a refusal, a string or a number, and nothing for the rest.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Status(text) | Self::Refused(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Nil | Self::List(_) => String::new(),
        }
    }

    /// Gives the members of a list, and none for the rest.
    #[must_use]
    pub fn list(&self) -> &[Reply] {
        match self {
            Self::List(members) => members,
            _ => &[],
        }
    }

    /// Gives the value of a field, in a list of fields and values or in the text of `INFO`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        if let Self::List(members) = self {
            return members.chunks_exact(2).find(|pair| pair[0].text() == name).map(|pair| pair[1].text());
        }
        let text = self.text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(|value| value.trim_end().to_owned())
    }
}

/// Asks one thing and reads the answer.
pub(crate) fn ask(stream: &mut (impl Read + Write), words: &[&str]) -> io::Result<Reply> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    stream.write_all(&request)?;
    // One reply is awaited at a time, so that the reader cannot take what belongs to the next.
    read(&mut BufReader::new(stream))
}

fn read(from: &mut impl BufRead) -> io::Result<Reply> {
    let line = line(from)?;
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| strange(&line))?;
    match kind {
        "+" => Ok(Reply::Status(rest.to_owned())),
        "-" => Ok(Reply::Refused(rest.to_owned())),
        ":" => Ok(Reply::Number(number(rest)?)),
        "$" => match usize::try_from(number(rest)?) {
            Ok(length) => {
                let mut bytes = vec![0; length + 2];
                from.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Ok(Reply::Bytes(bytes))
            }
            Err(_) => Ok(Reply::Nil),
        },
        "*" => match usize::try_from(number(rest)?) {
            Ok(length) => (0..length).map(|_| read(from)).collect::<io::Result<_>>().map(Reply::List),
            Err(_) => Ok(Reply::Nil),
        },
        _ => Err(strange(&line)),
    }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn number(text: &str) -> io::Result<i64> {
    text.parse().map_err(|_| strange(text))
}

fn strange(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no reply of Redis: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_reply_is_read() {
        let bytes = b"*6\r\n+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n";
        let reply = read(&mut &bytes[..]).unwrap();
        let nil = Reply::Nil;
        let all = [
            Reply::Status("OK".into()),
            Reply::Refused("ERR no".into()),
            Reply::Number(-7),
            Reply::Bytes(b"a\r\n".to_vec()),
            nil.clone(),
            nil,
        ];
        assert_eq!(reply.list(), all);
    }

    #[test]
    fn a_reply_that_is_cut_or_garbage_is_an_error() {
        for bytes in [&b"+O"[..], b"", b"$5\r\nab", b"*2\r\n+OK\r\n", b"\0\xff\r\n", b":x\r\n"] {
            assert!(read(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn fields_are_found_in_lists_and_in_info() {
        let bytes = |text: &str| Reply::Bytes(text.as_bytes().to_vec());
        let list = Reply::List(vec![bytes("name"), bytes("x"), bytes("port"), bytes("1")]);
        assert_eq!(list.field("port").as_deref(), Some("1"));
        assert_eq!(bytes("# Server\r\nrole:master\r\n").field("role").as_deref(), Some("master"));
        assert_eq!(list.field("x"), None);
    }
}
