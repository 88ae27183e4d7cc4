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

    /// The payloads that `data` completes, in order.
    #[allow(clippy::needless_pass_by_value)] // the payloads borrow from it
    fn receive_data<'py>(&mut self, py: Python<'py>, data: Input<'py>) -> PyResult<Bound<'py, PyList>> {
        let messages = self.0.receive(data.as_slice()).map_err(raise)?;
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
    let chunks = frames::frame_chunks(payload.as_slice()).map_err(raise)?;
    PyList::new(py, chunks.iter().map(|chunk| PyBytes::new(py, chunk)))
}
