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

/// Puts messages together from chunks that are cut anywhere.
#[derive(Debug)]
pub struct FrameDecoder {
    limit: u32,
    /// Of the unfinished message, the first `begun` bytes.
    prefix: [u8; PREFIX],
    begun: usize,
    /// Its payload as far as it has come; empty while the prefix is not complete.
    body: Vec<u8>,
    failed: bool,
}

impl FrameDecoder {
    /// `limit` is the channel's largest payload, inclusive.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self { limit, prefix: [0; PREFIX], begun: 0, body: Vec::new(), failed: false }
    }

    /// The largest payload from now on; an unfinished message that is larger fails with the next call.
    pub const fn allow(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Bytes of an unfinished message held now, prefix included.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.begun + self.body.len()
    }

    /// The payloads that `data` completes, in order; borrowed from it where it holds them whole. After an error
    /// nothing is held any more and every further call fails.
    pub fn receive<'a>(&mut self, data: &'a [u8]) -> Result<Vec<Cow<'a, [u8]>>> {
        self.receive_batch([data])
    }

    /// As [`FrameDecoder::receive`] of one after another; after an error what was complete is lost.
    pub fn receive_batch<'a>(
        &mut self,
        batch: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Cow<'a, [u8]>>> {
        let mut messages = Vec::new();
        for data in batch {
            let read = if self.failed { Err(FrameFault::Failed) } else { self.read(data, &mut messages) };
            read.inspect_err(|_| {
                self.failed = true;
                self.begun = 0;
                self.body = Vec::new();
            })?;
        }
        Ok(messages)
    }

    fn read<'a>(
        &mut self,
        mut data: &'a [u8],
        messages: &mut Vec<Cow<'a, [u8]>>,
    ) -> core::result::Result<(), FrameFault> {
        if self.begun > 0 {
            self.begin(&mut data);
            if self.begun < PREFIX {
                return Ok(());
            }
            let length = self.length(self.prefix)?;
            // The buffer grows with what has come, never with what the prefix promises.
            let (head, rest) = data.split_at(data.len().min(length - self.body.len()));
            self.body.extend_from_slice(head);
            if self.body.len() < length {
                return Ok(());
            }
            messages.push(Cow::Owned(core::mem::take(&mut self.body)));
            self.begun = 0;
            data = rest;
        }
        while let Some((prefix, rest)) = data.split_first_chunk() {
            let length = self.length(*prefix)?;
            let Some((message, rest)) = rest.split_at_checked(length) else { break };
            messages.push(Cow::Borrowed(message));
            data = rest;
        }
        self.begin(&mut data);
        self.body.extend_from_slice(data);
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
    fn a_batch_is_one_after_another() {
        let messages = [payload(1), payload(5), payload(300), payload(2)];
        let stream: Vec<u8> = messages.iter().flat_map(|m| frame_chunks(m).unwrap().concat()).collect();
        for size in 1..=stream.len() {
            let mut decoder = FrameDecoder::new(300);
            assert_eq!(decoder.receive_batch(stream.chunks(size)).unwrap(), messages, "cut at {size}");
        }
        let mut decoder = FrameDecoder::new(300);
        assert!(decoder.receive_batch([&stream[..], &[0; 4]]).is_err());
        assert_eq!(decoder.receive(&stream), Err(Error::Frame(FrameFault::Failed)));
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
