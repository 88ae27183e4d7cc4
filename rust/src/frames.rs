//! Messages and chunks.

use mina_webrtc_core::frames;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::buf::Input;
use crate::errors::raise;

/// Puts messages together from a channel's chunks, cut anywhere.
#[pyclass(module = "mina_webrtc._native")]
pub struct FrameDecoder(frames::FrameDecoder);

#[pymethods]
impl FrameDecoder {
    #[new]
    fn new(max_message: u32) -> Self {
        Self(frames::FrameDecoder::new(max_message))
    }

    /// Another largest payload from now on.
    fn allow(&mut self, max_message: u32) {
        self.0.allow(max_message);
    }

    /// The payloads that `data` completes, in order.
    #[allow(clippy::needless_pass_by_value)] // the payloads borrow from it
    fn receive_data<'py>(&mut self, py: Python<'py>, data: Input<'py>) -> PyResult<Bound<'py, PyList>> {
        let messages = self.0.receive(data.as_slice()).map_err(raise)?;
        PyList::new(py, messages.iter().map(|message| PyBytes::new(py, message)))
    }

    /// The payloads that many chunks complete, in order.
    fn receive_batch<'py>(
        &mut self,
        py: Python<'py>,
        chunks: &Bound<'py, PyList>,
    ) -> PyResult<Bound<'py, PyList>> {
        let chunks = inputs(chunks)?;
        let messages = self.0.receive_batch(chunks.iter().map(Input::as_slice)).map_err(raise)?;
        PyList::new(py, messages.iter().map(|message| PyBytes::new(py, message)))
    }

    /// Bytes of an unfinished message held now, prefix included.
    #[getter]
    fn buffered(&self) -> usize {
        self.0.buffered()
    }
}

/// One message as data-channel messages.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // the chunks borrow from it
pub fn frame_chunks<'py>(py: Python<'py>, payload: Input<'py>) -> PyResult<Bound<'py, PyList>> {
    let mut found = Vec::new();
    cut(py, &payload, &mut found)?;
    PyList::new(py, found)
}

/// Many messages as data-channel messages, one after the other.
#[pyfunction]
pub fn frame_batch<'py>(py: Python<'py>, payloads: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
    let payloads = inputs(payloads)?;
    let mut found = Vec::with_capacity(payloads.len());
    for payload in &payloads {
        cut(py, payload, &mut found)?;
    }
    PyList::new(py, found)
}

fn inputs<'py>(list: &Bound<'py, PyList>) -> PyResult<Vec<Input<'py>>> {
    list.iter().map(|item| item.extract()).collect()
}

/// Each chunk is written once, into the object that Python gets.
fn cut<'py>(py: Python<'py>, payload: &Input<'py>, found: &mut Vec<Bound<'py, PyBytes>>) -> PyResult<()> {
    for chunk in frames::chunks(payload.as_slice()).map_err(raise)? {
        found.push(match chunk.plain() {
            Some(body) => PyBytes::new(py, body),
            None => PyBytes::new_with(py, chunk.size(), |target| {
                chunk.write(target);
                Ok(())
            })?,
        });
    }
    Ok(())
}
