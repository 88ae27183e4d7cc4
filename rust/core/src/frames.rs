//! Messages cut into data-channel messages, and put together again (§7).

use std::borrow::Cow;

use crate::Result;
use crate::error::FrameFault;

/// Largest data-channel message ("chunk") that is sent, prefix included.
pub const CHUNK: usize = 16_384;

const PREFIX: usize = 4;

/// One data-channel message: what it is made of, so that it can be put together where it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The message's length, big endian, in its first chunk.
    prefix: Option<[u8; PREFIX]>,
    body: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// How many bytes [`Chunk::write`] writes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.prefix.map_or(0, |prefix| prefix.len()) + self.body.len()
    }

    /// Puts the chunk into `target`, which has [`Chunk::size`] bytes.
    ///
    /// # Panics
    /// If `target` has another length.
    pub fn write(&self, target: &mut [u8]) {
        let (head, rest) = target.split_at_mut(target.len() - self.body.len());
        head.copy_from_slice(self.prefix.as_ref().map_or(&[], |prefix| prefix));
        rest.copy_from_slice(self.body);
    }

    /// The chunk itself, if nothing has to be put together.
    #[must_use]
    pub const fn plain(&self) -> Option<&'a [u8]> {
        if self.prefix.is_none() { Some(self.body) } else { None }
    }

    /// The chunk itself.
    #[must_use]
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        match &self.prefix {
            None => Cow::Borrowed(self.body),
            Some(prefix) => Cow::Owned([prefix, self.body].concat()),
        }
    }
}

/// One message as chunks: `length (u32 BE) ‖ payload`, cut at [`CHUNK`] bytes.
pub fn chunks(payload: &[u8]) -> Result<impl Iterator<Item = Chunk<'_>>> {
    if payload.is_empty() {
        return Err(FrameFault::Empty.into());
    }
    let length = u32::try_from(payload.len())
        .map_err(|_| FrameFault::TooLong { length: payload.len() as u64, limit: u32::MAX })?;
    let (head, rest) = payload.split_at(payload.len().min(CHUNK - PREFIX));
    let first = Chunk { prefix: Some(length.to_be_bytes()), body: head };
    Ok(core::iter::once(first).chain(rest.chunks(CHUNK).map(|body| Chunk { prefix: None, body })))
}

/// The chunks of [`chunks`] at once.
pub fn frame_chunks(payload: &[u8]) -> Result<Vec<Cow<'_, [u8]>>> {
    Ok(chunks(payload)?.map(|chunk| chunk.bytes()).collect())
}

/// What a part of a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Belongs to a message that is not complete.
    Held(&'a [u8]),
    /// Completes the message whose beginning was held.
    Last(&'a [u8]),
    /// A whole message.
    Whole(&'a [u8]),
}

/// Finds the messages in chunks that are cut anywhere. The bytes themselves are its caller's to keep.
#[derive(Debug)]
pub struct Splitter {
    limit: u32,
    /// Of the unfinished message, the first `begun` bytes.
    prefix: [u8; PREFIX],
    begun: usize,
    /// How much of its payload has come; nothing while the prefix is not complete.
    held: usize,
    failed: bool,
}

impl Splitter {
    /// `limit` is the channel's largest payload, inclusive.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self { limit, prefix: [0; PREFIX], begun: 0, held: 0, failed: false }
    }

    /// The largest payload from now on; an unfinished message that is larger fails with the next call.
    pub const fn allow(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Bytes of an unfinished message that have come, prefix included.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.begun + self.held
    }

    /// Gives the pieces of `data` to `take`, in order. After an error nothing that was held is needed any more, and
    /// every further call fails.
    pub fn read<'a>(&mut self, data: &'a [u8], take: impl FnMut(Piece<'a>)) -> Result<()> {
        let read = if self.failed { Err(FrameFault::Failed) } else { self.walk(data, take) };
        Ok(read.inspect_err(|_| {
            self.failed = true;
            self.begun = 0;
            self.held = 0;
        })?)
    }

    fn walk<'a>(
        &mut self,
        mut data: &'a [u8],
        mut take: impl FnMut(Piece<'a>),
    ) -> core::result::Result<(), FrameFault> {
        if self.begun > 0 {
            self.begin(&mut data);
            if self.begun < PREFIX {
                return Ok(());
            }
            let length = self.length(self.prefix)?;
            let (head, rest) = data.split_at(data.len().min(length - self.held));
            if self.held + head.len() < length {
                self.held += head.len();
                take(Piece::Held(head));
                return Ok(());
            }
            take(Piece::Last(head));
            self.begun = 0;
            self.held = 0;
            data = rest;
        }
        while let Some((prefix, rest)) = data.split_first_chunk() {
            let length = self.length(*prefix)?;
            let Some((message, rest)) = rest.split_at_checked(length) else { break };
            take(Piece::Whole(message));
            data = rest;
        }
        self.begin(&mut data);
        self.held = data.len();
        take(Piece::Held(data));
        Ok(())
    }

    /// Moves bytes of `data` to the prefix, as far as it is not complete.
    fn begin(&mut self, data: &mut &[u8]) {
        let (head, rest) = data.split_at(data.len().min(PREFIX - self.begun));
        self.prefix[self.begun..self.begun + head.len()].copy_from_slice(head);
        self.begun += head.len();
        *data = rest;
    }

    fn length(&self, prefix: [u8; PREFIX]) -> core::result::Result<usize, FrameFault> {
        match u32::from_be_bytes(prefix) {
            0 => Err(FrameFault::Empty),
            length if length > self.limit => {
                Err(FrameFault::TooLong { length: length.into(), limit: self.limit })
            }
            length => Ok(length as usize),
        }
    }
}

/// Puts messages together from chunks that are cut anywhere.
#[derive(Debug)]
pub struct FrameDecoder {
    splitter: Splitter,
    /// The payload of an unfinished message. It grows with what has come, never with what the prefix promises.
    body: Vec<u8>,
}

impl FrameDecoder {
    /// `limit` is the channel's largest payload, inclusive.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self { splitter: Splitter::new(limit), body: Vec::new() }
    }

    /// As [`Splitter::allow`].
    pub const fn allow(&mut self, limit: u32) {
        self.splitter.allow(limit);
    }

    /// As [`Splitter::buffered`].
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.splitter.buffered()
    }

    /// The payloads that `data` completes, in order; borrowed from it where it holds them whole. After an error
    /// nothing is held any more and every further call fails.
    pub fn receive<'a>(&mut self, data: &'a [u8]) -> Result<Vec<Cow<'a, [u8]>>> {
        let Self { splitter, body } = self;
        let mut messages = Vec::new();
        let read = splitter.read(data, |piece| match piece {
            Piece::Held(bytes) => body.extend_from_slice(bytes),
            Piece::Last(bytes) => {
                body.extend_from_slice(bytes);
                messages.push(Cow::Owned(core::mem::take(body)));
            }
            Piece::Whole(bytes) => messages.push(Cow::Borrowed(bytes)),
        });
        if read.is_err() {
            *body = Vec::new();
        }
        read.map(|()| messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn payload(length: usize) -> Vec<u8> {
        (0..length).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect()
    }

    #[test]
    fn every_cut_of_a_stream_gives_the_same_messages() {
        let messages = [payload(1), payload(5), payload(300), payload(2)];
        let stream: Vec<u8> = messages.iter().flat_map(|m| frame_chunks(m).unwrap().concat()).collect();
        for size in 1..=stream.len() {
            let mut decoder = FrameDecoder::new(300);
            let read: Vec<Vec<u8>> = stream
                .chunks(size)
                .flat_map(|chunk| decoder.receive(chunk).unwrap())
                .map(Cow::into_owned)
                .collect();
            assert_eq!(read, messages, "cut at {size}");
            assert_eq!(decoder.buffered(), 0);
        }
    }

    #[test]
    fn chunks_are_full_but_the_last() {
        for length in [1, CHUNK - PREFIX, CHUNK - PREFIX + 1, CHUNK, 5 * CHUNK] {
            let data = payload(length);
            let chunks = frame_chunks(&data).unwrap();
            assert!(chunks[..chunks.len() - 1].iter().all(|c| c.len() == CHUNK));
            assert!((1..=CHUNK).contains(&chunks.last().unwrap().len()));
            assert_eq!(chunks.concat()[PREFIX..], data);
        }
    }

    #[test]
    fn limits_hold_before_anything_is_stored() {
        let mut decoder = FrameDecoder::new(16);
        assert!(decoder.receive(&[0, 0, 0, 17]).is_err());
        assert_eq!(decoder.buffered(), 0);
        assert_eq!(decoder.receive(&[0, 0, 0, 1, 9]), Err(Error::Frame(FrameFault::Failed)));
        assert!(FrameDecoder::new(16).receive(&[0, 0, 0, 0]).is_err());
        assert!(FrameDecoder::new(16).receive(&[0xff; 4]).is_err());
        assert_eq!(frame_chunks(&[]), Err(Error::Frame(FrameFault::Empty)));
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut decoder = FrameDecoder::new(u32::MAX);
        assert!(decoder.receive(&[0xff, 0xff, 0xff, 0xff, 1, 2]).unwrap().is_empty());
        assert_eq!(decoder.buffered(), 6);
        assert!(decoder.body.capacity() < 1024);
    }

    #[test]
    fn a_limit_that_falls_stops_what_has_begun() {
        let mut decoder = FrameDecoder::new(16);
        decoder.allow(32);
        assert!(decoder.receive(&[0, 0, 0, 32, 1]).unwrap().is_empty());
        decoder.allow(16);
        assert!(decoder.receive(&[2]).is_err());
        assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn chunks_are_written_as_they_are() {
        for length in [1, CHUNK, 3 * CHUNK] {
            let data = payload(length);
            for chunk in chunks(&data).unwrap() {
                let mut target = vec![0; chunk.size()];
                chunk.write(&mut target);
                assert_eq!(target, *chunk.bytes());
            }
        }
    }
}
