//! Tests of samples.

use super::super::DataSet;
use super::*;

/// Four samples of classes 5, 3, 5 and 9, in groups 1, 0, 1 and 0.
fn samples() -> Samples {
    let samples = Samples::new([1, 1, 1], vec![0.0, 1.0, 2.0, 3.0], vec![5, 3, 5, 9]).unwrap();
    samples.with_groups(&[70, 60, 70, 60]).unwrap()
}

#[test]
fn a_selection_numbers_its_classes_anew() {
    let picked = samples().select(&[3, 0]);
    assert_eq!((picked.values(), &picked.original[..]), (&[3.0, 0.0][..], &[9, 5][..]));
    assert_eq!((picked.labels, picked.groups), (vec![1, 0], Some(vec![1, 0])));
    assert_eq!(picked.classes, ["5", "9"]);
    let nothing = samples().select(&[]);
    assert_eq!((nothing.count(), nothing.classes.len(), nothing.size()), (0, 0, 1));
}

#[test]
fn classes_and_members_agree() {
    assert_eq!(samples().by_class(), [vec![1], vec![0, 2], vec![3]]);
    assert_eq!(samples().of_classes(&[1, 2]).values(), [0.0, 2.0, 3.0]);
}

#[test]
fn the_fingerprint_follows_values_labels_and_names() {
    let set = |change: &dyn Fn(&mut Samples)| {
        let mut train = samples();
        change(&mut train);
        DataSet { name: "x".into(), train, validation: samples(), test: samples(), queries: None }
            .fingerprint()
            .unwrap()
    };
    let same = set(&|_| {});
    assert_eq!(same, set(&|_| {}));
    assert_ne!(same, set(&|train| Arc::make_mut(&mut train.values)[3] = 3.5));
    assert_ne!(same, set(&|train| train.labels.swap(0, 1)));
    assert_ne!(same, set(&|train| train.classes[0] = "4".into()));
}

#[test]
fn joined_parts_keep_their_groups_apart() {
    let (first, rest) = (samples().of_classes(&[0]), samples().of_classes(&[1, 2]));
    let all = first.join(&rest);
    assert_eq!(all.original, [3, 5, 5, 9]);
    assert_eq!((all.labels, all.groups), (vec![0, 1, 1, 2], Some(vec![0, 2, 1])));
}

#[test]
fn what_does_not_fit_is_an_error_with_its_numbers() {
    let error = |values: &[f32], labels: &[i64]| {
        Samples::new([1, 2, 1], values.to_vec(), labels.to_vec()).unwrap_err().to_string()
    };
    assert_eq!(error(&[0.0; 4], &[1, 2, 3]), "there are 2 samples but 3 labels");
    assert!(error(&[0.0; 3], &[1]).contains("no whole samples"));
    assert!(error(&[], &[]).contains("no values"));
    assert!(error(&[0.0, 1.0, f32::NAN, 0.0], &[1, 2]).starts_with("row 1, value 0: NaN"));
    assert!(error(&[0.0, f32::INFINITY], &[1]).starts_with("row 0, value 1: inf"));
    assert!(Samples::new([usize::MAX, 2, 1], vec![0.0], vec![0]).is_err());
    assert!(samples().with_groups(&[1, 2]).unwrap_err().to_string().contains("4 samples but 2 groups"));
    let split = samples().with_groups(&[1, 2, 3, 4]).unwrap_err().to_string();
    assert_eq!(split, "class 5 is in two groups, 1 and 3");
    assert!(samples().with_names(&["a".to_owned()]).unwrap_err().to_string().contains("has no name among 1"));
}
