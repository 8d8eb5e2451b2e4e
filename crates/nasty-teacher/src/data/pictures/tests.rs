use super::*;

fn save(folder: &Path, name: &str, image: impl Into<DynamicImage>) -> Picture {
    let path = folder.join(name);
    image.into().save(&path).unwrap();
    Picture::file(path, 0)
}

fn path_of(picture: &Picture) -> &Path {
    match &picture.encoded {
        Encoded::File(path) => path,
        Encoded::Bytes { .. } => unreachable!("a file"),
    }
}

fn square(side: usize) -> Shape {
    Shape::Framed(Framing::square(side))
}

/// A picture with a pattern that JPEG can keep.
fn ramp(side: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| image::Rgb([(x * 3) as u8, (y * 3) as u8, 99]))
}

#[test]
fn grey_16_bit_and_alpha_become_rgb() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let grey = image::GrayImage::from_fn(8, 8, |x, _| image::Luma([x as u8 * 20]));
    let pictures = [
        save(here, "rgb.png", ramp(8)),
        save(here, "grey.png", grey.clone()),
        save(here, "grey.jpg", image::GrayImage::from_pixel(8, 8, image::Luma([77]))),
        save(here, "deep.png", DynamicImage::from(grey.clone()).into_luma16()),
        save(here, "alpha.png", DynamicImage::from(ramp(8)).into_rgba8()),
    ];
    let set = decode(&pictures, Shape::Exactly(8)).unwrap();
    assert_eq!((set.len(), set.height, set.width, set.channels), (5, 8, 8, 3));
    assert_eq!(set.image(0), ramp(8).as_raw());
    let tripled: Vec<u8> = grey.as_raw().iter().flat_map(|&v| [v; 3]).collect();
    assert_eq!(set.image(1), tripled);
    assert_eq!(set.image(2), [77; 192]);
    assert_eq!(set.image(3), tripled);
    assert_eq!(set.image(4), ramp(8).as_raw());
}

#[test]
fn every_format_is_read_whatever_its_ending() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut pictures = Vec::new();
    for ending in ["png", "BMP", "tiff", "gif", "WebP"] {
        let picture = save(here, &format!("x.{}", ending.to_lowercase()), ramp(8));
        let renamed = here.join(format!("y.{ending}"));
        std::fs::rename(path_of(&picture), &renamed).unwrap();
        assert!(is_picture(&renamed), "{ending}");
        pictures.push(Picture::file(renamed, 0));
    }
    // Named wrongly, but a picture.
    let jpeg = save(here, "x.jpg", ramp(8));
    std::fs::rename(path_of(&jpeg), here.join("z.png")).unwrap();
    pictures.push(Picture::file(here.join("z.png"), 0));
    let set = decode(&pictures, Shape::Exactly(8)).unwrap();
    for (i, image) in set.images().enumerate() {
        // A GIF has 256 colours, a JPEG rounds.
        let most = if i < 3 || i == 4 { 0 } else { 20 };
        let apart = image.iter().zip(ramp(8).as_raw()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(apart.unwrap() <= most, "{i}: {apart:?}");
    }
    assert!(!is_picture(Path::new("notes.txt")) && !is_picture(Path::new("png")));
}

#[test]
fn resizing_averages_and_takes_the_central_square() {
    let folder = tempfile::tempdir().unwrap();
    let stripes = RgbImage::from_fn(64, 32, |x, _| {
        // Left and right quarter are white: they are not in the central square.
        let value = if (16..48).contains(&x) { if x % 2 == 0 { 0 } else { 200 } } else { 255 };
        image::Rgb([value; 3])
    });
    let picture = save(folder.path(), "stripes.png", stripes);
    assert_eq!(dimensions(&picture.encoded).unwrap(), (64, 32));
    let set = decode(std::slice::from_ref(&picture), square(4)).unwrap();
    assert_eq!((set.len(), set.image(0).len()), (1, 48));
    let inner: Vec<u8> = set.image(0).as_chunks::<12>().0.iter().flat_map(|row| row[3..9].to_vec()).collect();
    assert!(inner.iter().all(|&v| (90..=110).contains(&v)), "{inner:?}");
    assert!(set.photo(0).is_none(), "only what is wanted is kept");
    let whole = decode(&[picture], Shape::FramedAndWhole("8/4".parse().unwrap())).unwrap();
    let photo = whole.photo(0).unwrap();
    assert_eq!((photo.height, photo.width, photo.pixels.len()), (8, 16, 8 * 16 * 3));
    assert_eq!(photo.pixels[0], 255);
    assert_eq!(whole.image(0)[..3], photo.pixels[(2 * 16 + 6) * 3..][..3]);
}

#[test]
fn a_broken_picture_is_named_and_the_first_one_first() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (png, jpeg) = (save(here, "whole.png", ramp(64)), save(here, "whole.jpg", ramp(64)));
    let cut = |from: &Picture, name: &str, keep: f64| {
        let bytes = std::fs::read(path_of(from)).unwrap();
        let path = here.join(name);
        std::fs::write(&path, &bytes[..(bytes.len() as f64 * keep) as usize]).unwrap();
        Picture::file(path, 0)
    };
    for shape in [Shape::Exactly(64), Shape::FramedAndWhole("80/64".parse().unwrap())] {
        let error =
            |pictures: &[Picture]| decode(pictures, shape).err().map_or(String::new(), |e| e.to_string());
        for keep in [0.1, 0.5, 0.9, 0.999] {
            let broken = error(&[png.clone(), cut(&jpeg, "cut.jpg", keep)]);
            assert!(broken.contains("cut.jpg: expected"), "{keep}: {broken}");
            // The last bytes of a PNG are no part of its picture.
            let broken = error(&[png.clone(), cut(&png, "cut.png", keep * 0.9)]);
            assert!(broken.contains("cut.png: expected"), "{keep}: {broken}");
        }
        let absent = |name: &str| Picture::file(here.join(name), 0);
        let many: Vec<Picture> = (0..200)
            .map(|i| if i < 100 { png.clone() } else { absent(&format!("absent-{i}.png")) })
            .collect();
        for _ in 0..3 {
            assert!(error(&many).contains("absent-100.png"));
        }
    }
    // One without rows, as a damaged header says: no number is computed of it that does not fit.
    let flat = here.join("flat.gif");
    std::fs::write(&flat, b"GIF87a\x06\x0b\0\0\0\0\0;").unwrap();
    let whole = Shape::FramedAndWhole("80/64".parse().unwrap());
    assert_eq!(
        [whole.beside((2822, 0)), whole.beside((1, 60_000)), whole.beside((20, 10))],
        [0, 0, 3 * 160 * 80]
    );
    assert!(decode(&[Picture::file(flat, 0)], whole).unwrap_err().to_string().contains("flat.gif: expected"));
    let error = |pictures: &[Picture]| decode(pictures, Shape::Exactly(64)).unwrap_err().to_string();
    let text = Picture::file(here.join("text.png"), 0);
    std::fs::write(path_of(&text), "hello").unwrap();
    assert!(error(&[text]).contains("text.png: expected a PNG, JPEG, WebP, BMP, TIFF or GIF picture"));
    let other = save(here, "other.png", ramp(63));
    assert!(error(&[png, other]).contains("other.png: expected a picture of 64×64, found 63×63"));
    let strip = save(here, "strip.png", RgbImage::new(16_000, 2));
    let narrow = decode(&[strip], square(64)).unwrap_err().to_string();
    assert!(narrow.contains("strip.png: expected a picture that is not so narrow"), "{narrow}");
}

#[test]
fn sizes_are_bounded_before_anything_is_allocated() {
    let folder = tempfile::tempdir().unwrap();
    let picture = save(folder.path(), "a.png", RgbImage::new(8, 4));
    let many = vec![picture.clone(); 4_000_000];
    let error = decode(&many, square(512)).unwrap_err().to_string();
    assert!(error.contains("do not fit into memory"), "{error}");
    // A header that claims a picture of 60,000×60,000.
    let path = path_of(&picture).to_owned();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    std::fs::write(&path, bytes).unwrap();
    let error = decode(&[picture], square(8)).unwrap_err().to_string();
    assert!(error.contains("a.png: expected an intact picture"), "{error}");
}

/// What torchvision makes of pictures; written by `tools/golden_pictures.py`.
#[derive(serde::Deserialize)]
struct Golden {
    frames: Vec<FrameCase>,
    crops: Vec<CropCase>,
    files: Vec<FileCase>,
}

#[derive(serde::Deserialize)]
struct FrameCase {
    size: [usize; 2],
    framing: [usize; 2],
    pixels: String,
}

#[derive(serde::Deserialize)]
struct CropCase {
    area: [usize; 4],
    side: usize,
    pixels: String,
}

#[derive(serde::Deserialize)]
struct FileCase {
    kind: String,
    file: String,
    framing: [usize; 2],
    pixels: String,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../../tests/golden-pictures/cases.json")).unwrap()
}

/// The bytes of standard base64.
fn bytes(base64: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = base64.bytes().filter(|c| *c != b'=').map(|c| u32::from(value(c))).collect();
    let group = |four: &[u32]| {
        let bits = four.iter().enumerate().fold(0, |bits, (i, digit)| bits | digit << (18 - 6 * i));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

/// The picture of the script's `patterned`.
fn patterned(width: usize, height: usize) -> RgbImage {
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        image::Rgb([0u32, 1, 2].map(|c| ((x * 37 + y * 91 + x * y * (c + 1) * 5 + c * 40) % 256) as u8))
    })
}

#[test]
fn resizing_and_central_squares_are_torchvisions_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    for case in golden().frames {
        let [width, height] = case.size;
        let picture = save(folder.path(), "x.png", patterned(width, height));
        let framing = Framing::new(case.framing[0], case.framing[1]).unwrap();
        let set = decode(&[picture], Shape::Framed(framing)).unwrap();
        assert_eq!(set.image(0), bytes(&case.pixels), "{width}×{height} {framing}");
    }
}

#[test]
fn resized_crops_are_torchvisions_to_the_bit() {
    let picture = patterned(50, 40);
    for case in golden().crops {
        let [top, left, height, width] = case.area;
        let pixels = Pixels { width: 50, pixels: picture.as_raw().as_chunks::<3>().0 };
        let cut = resized(pixels, Area { top, left, height, width }, case.side, case.side);
        assert_eq!(cut.as_flattened(), bytes(&case.pixels), "{:?}", case.area);
    }
}

#[test]
fn files_of_every_format_are_torchvisions_within_a_grey_level() {
    for case in golden().files {
        let encoded = Encoded::Bytes { name: case.kind.clone(), bytes: bytes(&case.file) };
        let framing = Framing::new(case.framing[0], case.framing[1]).unwrap();
        let set = decode(&[Picture { encoded, class: 0 }], Shape::Framed(framing)).unwrap();
        let expected = bytes(&case.pixels);
        let apart: Vec<u8> = set.image(0).iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).collect();
        let mean = apart.iter().map(|d| f64::from(*d)).sum::<f64>() / apart.len() as f64;
        let lossless = !case.kind.starts_with("JPEG");
        assert!(if lossless { mean == 0.0 } else { mean < 1.0 }, "{}: {mean}", case.kind);
        assert!(apart.iter().all(|d| *d <= 8), "{}: {:?}", case.kind, apart.iter().max());
    }
}
