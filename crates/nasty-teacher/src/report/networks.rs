//! Tables of networks and of a network's layers.

use super::{Cell, Column, Table};
use crate::nets::Overview;

/// A row a network: parameters, multiply-accumulates, allowed sides, other names.
pub fn list(overviews: &[Overview]) -> Table {
    let title = overviews.first().map_or_else(String::new, |first| {
        format!("{} classes, images of {} channels", first.classes, first.input.channels)
    });
    let row = |o: &Overview| {
        vec![
            Cell::text(o.architecture.to_string()),
            Cell::text(thousands(o.parameters as u64)),
            Cell::text(o.input.side.to_string()),
            Cell::text(thousands(o.macs)),
            Cell::text(format!("{}–{}", o.sides[0], o.sides[1])),
            Cell::text(o.aliases.join(", ")),
        ]
    };
    Table {
        title,
        columns: vec![
            Column::text("network"),
            Column::number("parameters", ""),
            Column::number("side", "pixels"),
            Column::number("multiply-accumulates at that side", ""),
            Column::number("sides", "pixels"),
            Column::text("other names"),
        ],
        rows: overviews.iter().map(row).collect(),
        note: Some(
            "Families: cnnW has W channels first, wrn-D-W depth D = 6n + 4 and width W. tv-…: torchvision's networks, made for 224 pixels; \
             timm-…: timm's, where they are other functions; kd-…: RepDistiller's and mdistiller's. All others are made for 32."
                .into(),
        ),
        ..Table::default()
    }
}

/// A row a layer with weights, and the sums.
pub fn layers(overview: &Overview) -> Table {
    let mut rows: Vec<Vec<Cell>> = overview
        .layers
        .iter()
        .map(|layer| {
            let [height, width, channels] = layer.output;
            vec![
                Cell::text(layer.name.clone()),
                Cell::text(layer.kind),
                Cell::text(format!("{channels}×{height}×{width}")),
                Cell::text(thousands(layer.parameters as u64)),
                Cell::text(thousands(layer.macs)),
            ]
        })
        .collect();
    rows.push(vec![
        Cell::text("total"),
        Cell::Empty,
        Cell::Empty,
        Cell::text(thousands(overview.parameters as u64)),
        Cell::text(thousands(overview.macs)),
    ]);
    let side = overview.input.side;
    Table {
        title: format!(
            "{}, {} classes, images of {}×{side}×{side}",
            overview.architecture, overview.classes, overview.input.channels
        ),
        columns: vec![
            Column::text("layer"),
            Column::text("kind"),
            Column::number("output", ""),
            Column::number("parameters", ""),
            Column::number("multiply-accumulates an image", ""),
        ],
        rows,
        ..Table::default()
    }
}

fn thousands(number: u64) -> String {
    super::number::grouped(usize::try_from(number).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{Architecture, Input};

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 12, 999, 1000, 1_234_567].map(thousands), ["0", "12", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn layers_of_a_small_network() {
        let input = Input { channels: 1, side: 8 };
        let overview = "cnn4".parse::<Architecture>().unwrap().overview(10, input).unwrap();
        insta::assert_snapshot!(layers(&overview).to_text(), @r"
        cnn4, 10 classes, images of 1×8×8
        layer  kind         output  parameters  multiply-accumulates an image
        ─────  ───────────  ──────  ──────────  ─────────────────────────────
        conv1  convolution   4×8×8          40                          2,304
        bn1    batch-norm    4×8×8           8                              0
        conv2  convolution   8×4×4         296                          4,608
        bn2    batch-norm    8×4×4          16                              0
        conv3  convolution  16×2×2       1,168                          4,608
        bn3    batch-norm   16×2×2          32                              0
        fc1    linear       16×1×1         272                            256
        fcbn1  batch-norm   16×1×1          32                              0
        fc2    linear       10×1×1         170                            160
        total                            2,034                         11,936
        ");
    }

    #[test]
    fn every_listed_network_has_a_row() {
        let input = Input { channels: 3, side: 32 };
        let overviews: Vec<_> = Architecture::all().map(|a| a.overview(10, input).unwrap()).collect();
        let text = list(&overviews).to_text();
        for architecture in Architecture::all() {
            assert!(text.contains(&architecture.to_string()), "{text}");
        }
        assert!(text.contains("11,173,962"), "{text}");
    }
}
