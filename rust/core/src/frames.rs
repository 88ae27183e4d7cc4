//! Messages cut into data-channel messages, and put together again (§7).

use std::borrow::Cow;

use crate::Result;
use crate::error::FrameFault;

/// Largest data-channel message ("chunk") that is sent, prefix included.
pub const CHUNK: usize = 16_384;

const PREFIX: usize = 4;

/// One message as chunks: `length (u32 BE) ‖ payload`, cut at [`CHUNK`] bytes. The first chunk is a copy, the others
/// are slices of `payload`.
pub fn frame_chunks(payload: &[u8]) -> Result<Vec<Cow<'_, [u8]>>> {
    if payload.is_empty() {
        return Err(FrameFault::Empty.into());
    }
    let length = u32::try_from(payload.len())
        .map_err(|_| FrameFault::TooLong { length: payload.len() as u64, limit: u32::MAX })?;
    let (head, rest) = payload.split_at(payload.len().min(CHUNK - PREFIX));
    let mut first = Vec::with_capacity(PREFIX + head.len());
    first.extend_from_slice(&length.to_be_bytes());
    first.extend_from_slice(head);
    Ok(core::iter::once(Cow::Owned(first)).chain(rest.chunks(CHUNK).map(Cow::Borrowed)).collect())
}

/// Puts messages together from chunks that are cut anywhere.
#[derive(Debug)]
pub struct FrameDecoder {
    limit: u32,
    /// Prefix and payload of the unfinished message, as far as they have come.
    held: Vec<u8>,
    failed: bool,
}

impl FrameDecoder {
    /// `limit` is the channel's largest payload, inclusive.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self { limit, held: Vec::new(), failed: false }
    }

    /// Bytes of an unfinished message held now, prefix included.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.held.len()
    }

    /// The payloads that `data` completes, in order; borrowed from it where it holds them whole. After an error
    /// nothing is held any more and every further call fails.
    pub fn receive<'a>(&mut self, data: &'a [u8]) -> Result<Vec<Cow<'a, [u8]>>> {
        let read = if self.failed { Err(FrameFault::Failed) } else { self.read(data) };
        read.map_err(|fault| {
            self.failed = true;
            self.held = Vec::new();
            fault.into()
        })
    }

    fn read<'a>(&mut self, mut data: &'a [u8]) -> core::result::Result<Vec<Cow<'a, [u8]>>, FrameFault> {
        let mut messages = Vec::new();
        if !self.held.is_empty() {
            self.take(&mut data, PREFIX);
            let Some(length) = self.length(&self.held)? else { return Ok(messages) };
            // The buffer grows with what has come, never with what the prefix promises.
            self.take(&mut data, PREFIX + length);
            if self.held.len() < PREFIX + length {
                return Ok(messages);
            }
            let mut whole = core::mem::take(&mut self.held);
            whole.drain(..PREFIX);
            messages.push(Cow::Owned(whole));
        }
        while let Some(length) = self.length(data)? {
            let Some((message, rest)) = data[PREFIX..].split_at_checked(length) else { break };
            messages.push(Cow::Borrowed(message));
            data = rest;
        }
        self.held.extend_from_slice(data);
        Ok(messages)
    }

    /// Moves bytes of `data` to the held ones until these are `until`.
    fn take(&mut self, data: &mut &[u8], until: usize) {
        let count = until.saturating_sub(self.held.len()).min(data.len());
        let (head, rest) = data.split_at(count);
        self.held.extend_from_slice(head);
        *data = rest;
    }

    /// The payload's length once the whole prefix is there.
    fn length(&self, data: &[u8]) -> core::result::Result<Option<usize>, FrameFault> {
        let Some(prefix) = data.first_chunk() else { return Ok(None) };
        match u32::from_be_bytes(*prefix) {
            0 => Err(FrameFault::Empty),
            length if length > self.limit => {
                Err(FrameFault::TooLong { length: length.into(), limit: self.limit })
            }
            length => Ok(Some(length as usize)),
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
        assert!(decoder.held.capacity() < 1024);
    }
}
