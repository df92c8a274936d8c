//! The marks over HTTP.
use crate::Failure;
use crate::runs::Figures;
pub(crate) fn accepted(_: usize) -> Result<Figures, Failure> {
    Err("soon".into())
}
pub(crate) fn sold_out(_: usize) -> Result<Figures, Failure> {
    Err("soon".into())
}
