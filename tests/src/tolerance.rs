//! How exact each quantity is, as a table with reasons. No test body has an epsilon of its own for these.

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// `ln q` against SciPy, relative to `1 + |ln q|`.
    LnDensity,
    /// Distribution function and quantile against SciPy, absolute.
    Distribution,
    /// Closed form of the gradient noise against SciPy, absolute.
    Noise,
    /// Isotonic fits against scikit-learn, absolute, values of order 1.
    Isotonic,
    /// NMI and AMI against scikit-learn, absolute.
    Agreement,
    /// Retrieval against brute force, absolute.
    Retrieval,
    /// AUC and EER against scikit-learn, absolute.
    Verification,
    /// Losses and their gradients against autodiff, relative to the largest number of the result.
    Loss,
    /// Network outputs and gradients against autodiff, relative to the largest number of the result.
    Network,
    /// A gradient against central differences, relative to `max(1, |g|)`.
    Difference,
    /// Log-probability of a draw against the exact law.
    LogProbability,
}

/// Precision of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// f32.
    Single,
    /// f64.
    Double,
}

/// Largest error that is put down to rounding.
#[must_use]
pub const fn tolerance(quantity: Quantity, precision: Precision) -> f64 {
    use Precision::{Double, Single};
    use Quantity::{
        Agreement, Difference, Distribution, Isotonic, LnDensity, LogProbability, Loss, Network, Noise,
        Retrieval, Verification,
    };
    match (quantity, precision) {
        // SciPy's own logpdf carries errors of n ulp of ln t at n = 2048.
        (LnDensity, _) => 1e-12,
        // At n = 2048 the continued fraction and SciPy's series agree to about 1e-12.
        (Distribution, _) => 1e-11,
        // hyp1f1 of SciPy loses digits for large arguments.
        (Noise, _) => 1e-9,
        (Isotonic | Agreement, _) => 1e-10,
        // Counts divided by counts; in f32 only ties within rounding may be placed differently.
        (Retrieval, Double) => 1e-12,
        (Retrieval, Single) => 5e-3,
        // Counts divided by counts, and a crossing that the other side searches to 1e-14.
        (Verification, _) => 1e-12,
        (Loss, Double) => 1e-12,
        // Distances of order 1 in f32, sums of tens of them.
        (Loss, Single) => 2e-5,
        (Network, Double) => 1e-10,
        (Network, Single) => 1e-4,
        // Step 1e-6: truncation 1e-12 times the third derivative, rounding 1e-16 / 1e-6 times the sum.
        (Difference, _) => 2e-6,
        (LogProbability, Double) => 1e-10,
        // ln-weights of up to 1e3 nats in f32 carry 1e-4; their differences decide.
        (LogProbability, Single) => 1e-3,
    }
}
