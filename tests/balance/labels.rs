//! Places labels above a plot, so that no label covers another one or is crossed by the line of another one.

/// The assumed width of a character in pixels: that of a wide typeface, so that labels do not overlap in any.
const CHARACTER: f64 = 6.4;
/// Space between the line of a label and its text, and after the text.
pub const GAP: f64 = 4.0;

/// Rows that are tried before a label is put below all of them.
const MAX_ROWS: usize = 12;

/// A text at the upper end of a vertical line.
#[derive(Clone)]
pub struct Label {
    pub x: f64,
    pub text: String,
    pub colour: &'static str,
    /// The lower end of its line.
    pub foot: f64,
}

/// A label and its row, counted from the top. The text is right of its line, or left of it.
pub struct Placed {
    pub label: Label,
    pub row: usize,
    pub is_left: bool,
}

impl Placed {
    fn span(&self) -> (f64, f64) {
        let width = self.label.text.chars().count() as f64 * CHARACTER + 2.0 * GAP;
        let x = self.label.x;
        if self.is_left { (x - width, x) } else { (x, x + width) }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let (start, end) = self.span();
        let (other_start, other_end) = other.span();
        match self.row.cmp(&other.row) {
            std::cmp::Ordering::Equal => start < other_end && other_start < end,
            // The line of the upper label would cross the text of the lower one.
            std::cmp::Ordering::Less => other_start < self.label.x && self.label.x < other_end,
            std::cmp::Ordering::Greater => start < other.label.x && other.label.x < end,
        }
    }
}

/// Gives each label the first free row, if necessary with its text left of the line. No text extends beyond `left` or
/// `right`, unless no row is free.
pub fn place(mut labels: Vec<Label>, left: f64, right: f64) -> Vec<Placed> {
    labels.sort_by(|a, b| a.x.total_cmp(&b.x));
    let mut placed: Vec<Placed> = Vec::new();
    for label in labels {
        let positions = (0..MAX_ROWS).flat_map(|row| [(row, false), (row, true)]);
        let mut positions =
            positions.map(|(row, is_left)| Placed { label: label.clone(), row, is_left });
        let fits = |place: &Placed| {
            let (start, end) = place.span();
            start >= left && end <= right && !placed.iter().any(|other| place.overlaps(other))
        };
        let last = Placed { label: label.clone(), row: MAX_ROWS, is_left: false };
        placed.push(positions.find(fits).unwrap_or(last));
    }
    placed
}
