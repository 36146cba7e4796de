//! Tests of known sets: small imitations with the real names and formats, and what hostile ones get.

use std::path::{Path, PathBuf};

use super::mat::tests::{cells, file, number, structures, text};
use super::*;
use crate::config::Config;
use crate::recipe::Recipe;

/// A jpeg or png, by its name, of one colour.
fn picture(name: &str, colour: u8) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let format = if name.ends_with("png") { image::ImageFormat::Png } else { image::ImageFormat::Jpeg };
    image::RgbImage::from_pixel(9, 7, image::Rgb([colour, 0, 255 - colour]))
        .write_to(&mut out, format)
        .unwrap();
    out.into_inner()
}

/// A set of these pictures and files.
fn set(pictures: &[&str], files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let all = pictures.iter().zip(1..).map(|(name, i)| (*name, picture(name, i * 8)));
    for (name, bytes) in all.chain(files.iter().map(|(name, bytes)| (*name, bytes.to_vec()))) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

fn reading(boxes: bool) -> Reading {
    Reading { geometry: Geometry { resize: 6, crop: 4, mirror: true, boxes }, ..Reading::default() }
}

fn load(path: &Path) -> Result<DataSet> {
    load_as(path.to_str().unwrap(), &Config::recipe(Recipe::Best).data, &reading(false))
}

fn error(path: &Path) -> String {
    let error = format!("{:#}", load(path).unwrap_err());
    assert!(!error.contains('\n'), "{error}");
    error
}

fn replace(folder: &tempfile::TempDir, name: &str, content: &[u8]) {
    std::fs::write(folder.path().join(name), content).unwrap();
}

/// File names, stored labels and class names of a part.
fn listed(part: &Samples) -> Vec<(String, i64, String)> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let row = |i: usize| {
        let class = part.classes[part.labels[i] as usize].clone();
        (name(part.pictures().unwrap().path(i)), part.original[i], class)
    };
    (0..part.count()).map(row).collect()
}

/// Every cut of a list is an error or a smaller set, and never a panic.
fn cut(folder: &tempfile::TempDir, name: &str) {
    let path = folder.path().join(name);
    let whole = std::fs::read(&path).unwrap();
    for end in (0..whole.len()).step_by(1 + whole.len() / 97) {
        std::fs::write(&path, &whole[..end]).unwrap();
        if let Err(error) = load(folder.path()) {
            assert!(!format!("{error:#}").contains('\n'), "{error:#}");
        }
    }
    std::fs::write(&path, &whole).unwrap();
}

fn cub() -> tempfile::TempDir {
    let birds: Vec<(i64, i64, String)> = [1, 1, 100, 100, 101, 101, 200, 200]
        .iter()
        .zip(1..)
        .map(|(&class, i)| (i, class, format!("{class:03}.Bird_{class}/Bird_{class}_{i:04}.jpg")))
        .collect();
    let lines = |line: &dyn Fn(&(i64, i64, String)) -> String| birds.iter().map(line).collect::<String>();
    let pictures: Vec<String> = birds.iter().map(|(.., path)| format!("images/{path}")).collect();
    set(
        &pictures.iter().map(String::as_str).collect::<Vec<_>>(),
        &[
            ("images.txt", lines(&|(i, _, path)| format!("{i} {path}\n")).as_bytes()),
            ("image_class_labels.txt", lines(&|(i, class, _)| format!("{i} {class}\n")).as_bytes()),
            ("bounding_boxes.txt", lines(&|(i, ..)| format!("{i} 1.0 2.0 4.0 3.0\n")).as_bytes()),
            ("classes.txt", b"1 001.Bird_1\n100 100.Bird_100\n101 101.Bird_101\n200 200.Bird_200\n"),
            ("train_test_split.txt", b"1 0\n"),
        ],
    )
}

#[test]
fn birds_are_split_by_their_first_and_last_hundred_classes() {
    let folder = cub();
    let found = load(folder.path()).unwrap();
    assert_eq!((found.train.count(), found.test.count(), found.train.shape), (4, 4, [4, 4, 3]));
    assert_eq!(listed(&found.test)[3], ("Bird_200_0008.jpg".into(), 200, "200.Bird_200".into()));
    assert_eq!(found.train.classes, ["001.Bird_1", "100.Bird_100"]);
    // Where nothing is said, photographs get the paper's sizes, and the run file says so.
    let mut config = Config::recipe(Recipe::Best).data;
    let paper = super::load(folder.path().to_str().unwrap(), &config).unwrap();
    assert_eq!((paper.train.frame(), paper.train.shape), ([256, 256, 3], [227, 227, 3]));
    paper.settle(&mut config);
    assert_eq!((config.resize, config.crop, config.mirror), (256, 227, true));
}

#[test]
fn boxes_of_birds_are_taken_where_they_are_asked_for() {
    let folder = cub();
    let path = folder.path().to_str().unwrap().to_owned();
    let boxed = || load_as(&path, &Config::recipe(Recipe::Best).data, &reading(true));
    assert_eq!(boxed().unwrap().train.count(), 4);
    replace(&folder, "bounding_boxes.txt", b"1 9.0 2.0 4.0 3.0\n");
    let error = format!("{:#}", boxed().unwrap_err());
    assert!(error.contains("images.txt, line 2: image 2 is not in bounding_boxes.txt"), "{error}");
    let outside: String = (1..9).map(|i| format!("{i} 9.0 2.0 4.0 3.0\n")).collect();
    replace(&folder, "bounding_boxes.txt", outside.as_bytes());
    let error = format!("{:#}", boxed().unwrap_err());
    assert!(error.contains("line 1: ") && error.contains("holds nothing of 9 x 7 pixels"), "{error}");
    replace(&folder, "bounding_boxes.txt", b"1 9.0 2.0 x 3.0\n");
    assert!(format!("{:#}", boxed().unwrap_err()).contains("line 1: \"x\" is no number of pixels"));
    // A set that has none says so.
    let plain = set(&["a/1.png", "a/2.png", "b/1.png", "b/2.png"], &[]);
    let path = plain.path().to_str().unwrap();
    let error = load_as(path, &Config::recipe(Recipe::Best).data, &reading(true)).unwrap_err();
    assert!(format!("{error:#}").contains("has no box"), "{error:#}");
}

#[test]
fn broken_lists_of_birds_are_named_with_their_line() {
    let folder = cub();
    for list in ["images.txt", "image_class_labels.txt", "classes.txt"] {
        cut(&folder, list);
    }
    let images = std::fs::read(folder.path().join("images.txt")).unwrap();
    for (list, content, part) in [
        ("images.txt", &b"1 ../../x.jpg\n"[..], "images.txt, line 1: \"../../x.jpg\" leads out of"),
        ("images.txt", b"1 gone.jpg\n5 gone.jpg\n", "images.txt, line 1: cannot read"),
        ("images.txt", b"99 gone.jpg\n", "line 1: image 99 is not in image_class_labels.txt"),
        ("images.txt", b"x gone.jpg\n", "line 1: \"x\" is no image"),
        ("images.txt", b"1\n", "line 1: it has one field"),
        ("images.txt", b"1 \xFF.jpg\n", "line 1: it is not text"),
        ("images.txt", b"\n", "its train part has no pictures"),
        ("classes.txt", b"1 a\n1 b\n", "classes.txt, line 2: 1 is there twice"),
        ("classes.txt", b"2 a\n", "line 1: class 1 is not in classes.txt"),
        ("image_class_labels.txt", b"1 99999999999999999999\n", "is no class"),
        ("image_class_labels.txt", b"1 1 1\n", "line 1: it has 3 fields; 2 are needed"),
    ] {
        let kept = std::fs::read(folder.path().join(list)).unwrap();
        replace(&folder, list, content);
        assert!(error(folder.path()).contains(part), "{}", error(folder.path()));
        replace(&folder, list, &kept);
    }
    let doubled = [&images[..], b"1 001.Bird_1/Bird_1_0001.jpg\n"].concat();
    replace(&folder, "images.txt", &doubled);
    assert!(error(folder.path()).contains("line 9: 1 is there twice"));
    std::fs::remove_file(folder.path().join("classes.txt")).unwrap();
    assert!(error(folder.path()).contains("classes.txt"));
}

const CARS: [(&str, u8); 8] =
    [("1", 1), ("2", 1), ("3", 98), ("4", 98), ("5", 99), ("6", 99), ("7", 196), ("8", 196)];

/// Annotations of these cars: their paths in a field of this name, and boxes of the whole picture.
fn annotations(cars: &[(String, u8)], field: &str) -> Vec<u8> {
    let row = |(path, class): &(String, u8)| {
        vec![text(path), number(1), number(1), number(9), number(7), number(*class), number(0)]
    };
    let fields = [field, "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "test"];
    structures("annotations", &fields, &cars.iter().map(row).collect::<Vec<_>>())
}

fn names() -> Vec<u8> {
    cells("class_names", &(1..=196).map(|i| text(&format!("Car {i}"))).collect::<Vec<_>>())
}

fn cars() -> (tempfile::TempDir, Vec<(String, u8)>) {
    let list: Vec<(String, u8)> =
        CARS.iter().map(|(name, class)| (format!("car_ims/00000{name}.jpg"), *class)).collect();
    let annos = file(&[annotations(&list, "relative_im_path"), names()], true);
    let pictures: Vec<&str> = list.iter().map(|(path, _)| path.as_str()).collect();
    (set(&pictures, &[("cars_annos.mat", &annos)]), list)
}

#[test]
fn cars_are_read_as_they_were_published_in_both_ways() {
    let (folder, _) = cars();
    let found = load(folder.path()).unwrap();
    assert_eq!((found.train.count(), found.test.count()), (4, 4));
    assert_eq!(listed(&found.test)[2], ("000007.jpg".into(), 196, "Car 196".into()));
    let path = folder.path().to_str().unwrap();
    let boxed = load_as(path, &Config::recipe(Recipe::Best).data, &reading(true)).unwrap();
    assert_eq!(boxed.train.values(), found.train.values());

    let of = |range: std::ops::Range<usize>| -> Vec<(String, u8)> {
        CARS[range].iter().map(|(name, class)| (format!("{name}.jpg"), *class)).collect()
    };
    // Every second picture is in the other published part.
    let folder = set(
        &["cars_train/1.jpg", "cars_train/2.jpg", "cars_train/3.jpg", "cars_train/4.jpg"]
            .into_iter()
            .chain(["cars_test/5.jpg", "cars_test/6.jpg", "cars_test/7.jpg", "cars_test/8.jpg"])
            .collect::<Vec<_>>(),
        &[
            ("devkit/cars_train_annos.mat", &file(&[annotations(&of(0..4), "fname")], false)),
            ("cars_test_annos_withlabels.mat", &file(&[annotations(&of(4..8), "fname")], true)),
            ("devkit/cars_meta.mat", &file(&[names()], true)),
        ],
    );
    let parts = load(folder.path()).unwrap();
    assert_eq!(listed(&parts.train)[0], ("1.jpg".into(), 1, "Car 1".into()));
    assert_eq!((parts.train.count(), parts.test.classes.len()), (4, 2));
    std::fs::remove_file(folder.path().join("cars_test_annos_withlabels.mat")).unwrap();
    assert!(error(folder.path()).contains("has no cars_test_annos_withlabels.mat"));
}

#[test]
fn broken_annotations_of_cars_are_named() {
    let (folder, list) = cars();
    cut(&folder, "cars_annos.mat");
    let with = |annotations: Vec<u8>, names: Vec<u8>| {
        replace(&folder, "cars_annos.mat", &file(&[annotations, names], true));
        error(folder.path())
    };
    let mut out = list.clone();
    out[2].0 = "/etc/passwd".into();
    let text = with(annotations(&out, "relative_im_path"), names());
    assert!(text.contains("annotation 3: \"/etc/passwd\" leads out of its folder"), "{text}");
    assert!(with(annotations(&list, "name"), names()).contains("have no file names"));
    assert!(with(names(), names()).contains("no structures `annotations`"));
    assert!(with(annotations(&list, "fname"), number(1)).contains("no cells `class_names`"));
    let few = cells("class_names", &[super::mat::tests::text("Car 1")]);
    assert!(with(annotations(&list, "fname"), few).contains("class 98 has no name among 1"));
    let row = vec![super::mat::tests::text("car_ims/000001.jpg"), super::mat::tests::text("one")];
    let text = with(structures("annotations", &["fname", "class"], &[row]), names());
    assert!(text.contains("annotation 1: its class is no whole number"), "{text}");
}

const PRODUCTS: [&str; 8] = [
    "bicycle_final/111085122871_0.JPG",
    "bicycle_final/111085122871_1.JPG",
    "bicycle_final/111265328556_0.JPG",
    "bicycle_final/111265328556_1.JPG",
    "cabinet_final/261695238644_0.JPG",
    "cabinet_final/261695238644_1.JPG",
    "cabinet_final/261715738646_0.JPG",
    "cabinet_final/261715738646_1.JPG",
];

#[test]
fn products_come_in_their_two_lists() {
    let line = |i: usize, class: usize, group: usize| format!("{} {class} {group} {}\n", i + 1, PRODUCTS[i]);
    let head = "image_id class_id super_class_id path\n";
    let train: String = (0..4).map(|i| line(i, 1 + i / 2, 1)).collect();
    let test: String = (4..8).map(|i| line(i, 11319 + i / 2, 2)).collect();
    let (train, test) = (format!("{head}{train}"), format!("{head}{test}"));
    let folder = set(&PRODUCTS, &[("Ebay_train.txt", train.as_bytes()), ("Ebay_test.txt", test.as_bytes())]);
    let found = load(folder.path()).unwrap();
    assert_eq!(listed(&found.train)[2], ("111265328556_0.JPG".into(), 2, "2".into()));
    assert_eq!(found.test.classes, ["11321", "11322"]);
    cut(&folder, "Ebay_train.txt");
    replace(&folder, "Ebay_test.txt", format!("{head}9 2 2 {}\n", PRODUCTS[4]).as_bytes());
    assert!(error(folder.path()).contains("Ebay_test.txt, line 2: class 2 is in two parts"));
    replace(&folder, "Ebay_test.txt", format!("{head}9 2\n").as_bytes());
    assert!(error(folder.path()).contains("Ebay_test.txt, line 2: it has 2 fields; 4 are needed"));
    replace(&folder, "Ebay_test.txt", format!("{head}9 2 2 ../x.JPG\n").as_bytes());
    assert!(error(folder.path()).contains("leads out of"));
    replace(&folder, "Ebay_test.txt", b"");
    assert!(error(folder.path()).contains("Ebay_test.txt is empty"));
}

fn inshop() -> tempfile::TempDir {
    let rows = [
        ("img/WOMEN/Dresses/id_00000002/02_1_front.jpg", "id_00000002", "train"),
        ("img/WOMEN/Dresses/id_00000002/02_2_side.jpg", "id_00000002", "train"),
        ("img/MEN/Denim/id_00000004/01_1_front.jpg", "id_00000004", "train"),
        ("img/MEN/Denim/id_00000004/01_2_side.jpg", "id_00000004", "train"),
        ("img/WOMEN/Tees/id_00000001/01_1_front.jpg", "id_00000001", "query"),
        ("img/WOMEN/Tees/id_00000001/01_2_side.jpg", "id_00000001", "gallery"),
        ("img/WOMEN/Tees/id_00000003/01_1_front.jpg", "id_00000003", "query"),
        ("img/WOMEN/Tees/id_00000003/01_2_side.jpg", "id_00000003", "gallery"),
    ];
    let lines: String =
        rows.iter().map(|(path, item, status)| format!("{path:<60} {item} {status}\n")).collect();
    let list = format!("8\nimage_name item_id evaluation_status\n{lines}");
    let pictures: Vec<String> = rows.iter().map(|(path, ..)| format!("Img/{path}")).collect();
    let pictures: Vec<&str> = pictures.iter().map(String::as_str).collect();
    set(&pictures, &[("Eval/list_eval_partition.txt", list.as_bytes())])
}

#[test]
fn clothes_have_queries_and_a_gallery() {
    let folder = inshop();
    let found = load(folder.path()).unwrap();
    let queries = found.queries.as_ref().unwrap();
    assert_eq!([&found.train, &found.test, queries].map(Samples::count), [4, 2, 2]);
    assert_eq!(listed(queries)[1], ("01_1_front.jpg".into(), 2, "id_00000003".into()));
    assert_eq!(queries.labels_among(&found.test), [0, 1]);
    assert_eq!(found.train.classes, ["id_00000002", "id_00000004"]);
    let path = folder.path().to_str().unwrap().to_owned();
    let all = load_all_as(&path, Part::All, &reading(false)).unwrap();
    assert_eq!((all.count(), all.classes.len(), all.original.clone()), (8, 4, vec![1, 1, 3, 3, 0, 2, 0, 2]));
    assert_eq!(all.labels, [0, 0, 1, 1, 2, 3, 2, 3]);
    assert_eq!(load_all_as(&path, Part::Query, &reading(false)).unwrap().count(), 2);
    assert_eq!(found.part(Part::All).unwrap().count(), 8);

    let list = "Eval/list_eval_partition.txt";
    cut(&folder, list);
    let whole = std::fs::read_to_string(folder.path().join(list)).unwrap();
    replace(&folder, list, whole.replacen('8', "999999999999", 1).as_bytes());
    assert!(error(folder.path()).contains("lists 8 of 999999999999 images"));
    replace(&folder, list, whole.replace("query", "probe").as_bytes());
    assert!(error(folder.path()).contains("line 7: \"probe\" is neither train, query nor gallery"));
    replace(&folder, list, whole.replace("id_00000001 gallery", "id_00000002 gallery").as_bytes());
    assert!(error(folder.path()).contains("line 8: class id_00000002 is in two parts"));
    replace(&folder, list, whole.replace("Img", "").replace("img/MEN", "../img").as_bytes());
    assert!(error(folder.path()).contains("leads out of"));
}

/// Four people with two or three faces each.
fn faces(root: &str, files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let people = ["Aaron_Peirsol", "Abel_Pacheco", "Dean_Barker", "Zico"];
    let paths: Vec<String> = people
        .iter()
        .flat_map(|name| (1..3).map(move |i| format!("{root}{name}/{name}_{i:04}.jpg")))
        .collect();
    set(&paths.iter().map(String::as_str).collect::<Vec<_>>(), files)
}

const PAIRS: &str = "2\t1\nAaron_Peirsol\t1\t2\nAbel_Pacheco\t1\tDean_Barker\t2\n\
                     Zico\t2\t1\nDean_Barker\t1\tZico\t1\n";

#[test]
fn faces_are_folders_beside_their_lists_and_pairs_are_places_among_them() {
    let people = [
        ("pairs.txt", PAIRS.as_bytes()),
        ("peopleDevTrain.txt", b"2\nAaron_Peirsol\t2\nDean_Barker\t2\n"),
        ("peopleDevTest.txt", b"2\nAbel_Pacheco\t2\nZico\t2\n"),
    ];
    let folder = faces("lfw/", &people);
    let found = load(folder.path()).unwrap();
    assert_eq!(found.train.classes, ["Aaron_Peirsol", "Dean_Barker"]);
    assert_eq!(listed(&found.test)[2], ("Zico_0001.jpg".into(), 3, "Zico".into()));
    for (list, part) in [
        (&b"3\nAbel_Pacheco\t2\nZico\t2\n"[..], "names 2 of 3 people"),
        (b"1\nNobody 2\n", "line 2: Nobody has no folder"),
    ] {
        replace(&folder, "peopleDevTest.txt", list);
        assert!(error(folder.path()).contains(part), "{}", error(folder.path()));
    }

    let folder = faces("", &people[..1]);
    let all = load_all_as(folder.path().to_str().unwrap(), Part::All, &reading(false)).unwrap();
    assert_eq!((all.count(), all.classes.len()), (8, 4));
    let list = folder.path().join("pairs.txt");
    let pairs = lfw::pairs(&list, &all).unwrap();
    let rows: Vec<_> = pairs.iter().map(|pair| (pair.fold, pair.i, pair.j, pair.same)).collect();
    assert_eq!(rows, [(0, 0, 1, true), (0, 2, 5, false), (1, 7, 6, true), (1, 4, 6, false)]);
    for (text, part) in [
        ("1\nZico 1 2\nZico 1 Dean_Barker 1\n", None),
        ("", Some("is empty")),
        ("2 1\nZico 1 2\n", Some("has 1 of 4 pairs")),
        ("1\nZico 1 2\nZico 1 Dean_Barker 1\nZico 1 2\n", Some("line 4: there are more than 2 pairs")),
        ("1\nZico 1 3\n", Some("line 2: Zico_0003 is not among the samples")),
        ("1\nZico 1 Zico 2\n", Some("line 2: it has 4 fields; 3 are needed")),
        ("18446744073709551615 2\n", Some("more than there can be")),
        ("0\n", Some("claims no pairs")),
        ("4000000000 4000000000\nZico 1 2\n", Some("pairs")),
        ("a b c\n", Some("line 1: it has 3 fields")),
    ] {
        replace(&folder, "pairs.txt", text.as_bytes());
        match (lfw::pairs(&list, &all), part) {
            (Ok(pairs), None) => assert_eq!(pairs.len(), 2),
            (Err(error), Some(part)) => assert!(format!("{error:#}").contains(part), "{error:#}"),
            (other, _) => panic!("{text:?}: {other:?}"),
        }
    }
    let kana = load_all("kana", Part::Test).unwrap();
    assert!(lfw::pairs(&list, &kana).unwrap_err().to_string().contains("pictures in files"));
}

#[test]
fn a_csv_may_list_pictures_with_their_parts() {
    let pictures = ["p/1.png", "p/2.png", "p/3.png", "p/4.png", "p/5.png", "p/6.png", "p/7.png", "p/8.png"];
    let rows = ["b,train", "b,train", "a,train", "a,train", "d,gallery", "c,gallery", "d,query", "c,query"];
    let list = |head: &str, line: &dyn Fn(usize) -> String| {
        format!("{head}\n{}", (0..8).map(line).collect::<String>())
    };
    let parts = list("path,label,split", &|i| format!("{},{}\n", pictures[i], rows[i]));
    let folder = set(&pictures, &[("list.csv", parts.as_bytes())]);
    let found = load(&folder.path().join("list.csv")).unwrap();
    assert_eq!(found.train.classes, ["a", "b"]);
    assert_eq!(listed(&found.queries.unwrap())[1], ("8.png".into(), 2, "c".into()));
    // A folder with nothing but the list and what it lists is the same.
    assert_eq!(load(folder.path()).unwrap().test.classes, ["c", "d"]);
    // Without parts, with columns in another order, labels that are numbers and one that is not read.
    let whole = list("Label,note,File", &|i| format!("{},x,{}\n", 10 + i / 2, pictures[i]));
    replace(&folder, "list.csv", whole.as_bytes());
    let found = load(folder.path()).unwrap();
    assert_eq!((found.train.classes.len(), found.test.classes.len()), (2, 2));
    assert!(found.train.original.iter().all(|label| (10..14).contains(label)));
    for (text, part) in [
        ("path,label,split\np/1.png,a,learn\n", "line 2: \"learn\" is neither"),
        ("path,label,split\np/1.png,a\n", "line 2: it has no split"),
        ("path,label,split\np/1.png,a,train\n", "not both train and test"),
        ("path,label\np/1.png,\n", "line 2: it has no label"),
        ("path,label\np/9.png,a\n", "list.csv, line 2: cannot read"),
        ("path,label\n", "a header and no lines"),
        ("path,label\n\"p/1.png,a\n", "line 2: it has no label"),
        ("path,label,split\np/1.png,a,train\np/2.png,a,test\n", "line 3: class a is in two parts"),
    ] {
        replace(&folder, "list.csv", text.as_bytes());
        assert!(error(folder.path()).contains(part), "{text:?}: {}", error(folder.path()));
    }
    replace(&folder, "list.csv", parts.as_bytes());
    cut(&folder, "list.csv");
}

#[test]
fn a_set_is_the_same_in_memory_and_on_demand() {
    for folder in [cub(), inshop()] {
        let path = folder.path().to_str().unwrap().to_owned();
        let of = |memory, workers| {
            let reading = Reading { memory, workers, ..reading(false) };
            load_as(&path, &Config::recipe(Recipe::Best).data, &reading).unwrap()
        };
        let (here, there) = (of(u64::MAX, 1), of(0, 2));
        assert!(there.test.values().is_empty() && !here.test.values().is_empty());
        for (here, there) in [(&here.train, &there.train), (&here.test, &there.test)] {
            assert_eq!(
                (here.shape, &here.labels, &here.classes),
                (there.shape, &there.labels, &there.classes)
            );
            for i in 0..here.count() {
                assert_eq!(here.stored(i).unwrap(), there.stored(i).unwrap());
            }
            assert_eq!(here.glance().unwrap(), there.glance().unwrap());
        }
        // Files are told apart by their names and lengths.
        let print = there.fingerprint().unwrap();
        assert_eq!(of(0, 1).fingerprint().unwrap(), print);
        let first: PathBuf = there.train.pictures().unwrap().path(0).to_owned();
        std::fs::write(&first, [std::fs::read(&first).unwrap(), vec![0]].concat()).unwrap();
        assert_ne!(there.fingerprint().unwrap(), print);
    }
}
