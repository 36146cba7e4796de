//! Inverse-density weights of negatives, in log space, for one anchor at a time.

/// How negatives are weighted by their distance: the parameters of distance weighted sampling.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighting<T> {
    /// Dimension n of the density that is inverted; real, at least 2.
    pub dimension: f64,
    /// Where the weight is capped.
    pub cap: Cap<T>,
    /// Where candidates end.
    pub far: FarCut<T>,
    /// What an anchor without candidates does.
    pub empty: EmptyRow,
}

/// Upper bound of the weights. It is two-sided: 1/q rises again beyond sqrt(2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cap<T> {
    /// The weight that 1/q has at this distance.
    Near(T),
    /// `ln lambda` of the normalised 1/q.
    LnLambda(T),
}

/// The distance beyond which a negative is no candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FarCut<T> {
    /// None: every negative is a candidate.
    None,
    /// `d < cut`.
    At(T),
    /// `d < margin + beta(anchor)`: only negatives that the margin loss would push.
    Active {
        /// Margin alpha of the loss.
        margin: T,
    },
}

/// What becomes of an anchor none of whose negatives is a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyRow {
    /// It has no tuple in this batch.
    #[default]
    Skip,
    /// It takes its nearest negative.
    Nearest,
    /// It takes any true negative.
    Uniform,
}
