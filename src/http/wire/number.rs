//! Whole numbers that are kept as doubles.

use serde::Serializer;

/// The largest double below which every whole number is one.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
/// Writes a whole number without a fraction as far as doubles are exact.
pub fn whole<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if (0.0..=MAX_EXACT).contains(number) {
        serializer.serialize_u64(*number as u64)
    } else {
        serializer.serialize_f64(*number)
    }
}
