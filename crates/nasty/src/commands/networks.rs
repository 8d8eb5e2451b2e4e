//! `nasty networks`.

use super::place::named;
use crate::failure::{End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::nets::{Architecture, Input, NetError, Overview};
use nasty_teacher::report::networks::{layers, list};

/// Arguments of `nasty networks`.
#[derive(Args)]
pub struct NetworksArgs {
    /// Network to show layer by layer, such as resnet18 [default: list all networks]
    #[arg(value_name = "NAME", value_parser = named::<Architecture>)]
    architecture: Option<Architecture>,
    /// Number of classes
    #[arg(long, default_value_t = 10, value_name = "N")]
    classes: usize,
    /// Side of the images in pixels [default: the side that each network was made for, 32 or 224]
    #[arg(long, value_name = "PIXELS")]
    side: Option<usize>,
    /// Channels of the images: 1 or 3
    #[arg(long, default_value_t = 3, value_name = "N")]
    channels: usize,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Lists the networks, or the layers of one.
pub fn run(args: &NetworksArgs) -> Result<End> {
    let overview = |architecture: Architecture| {
        let side = args.side.unwrap_or_else(|| architecture.usual_side());
        let input = Input { channels: args.channels, side };
        let usage = |e: NetError| Trouble::usage(e.to_string(), None);
        architecture.overview(args.classes, input).map_err(usage)
    };
    let text = match args.architecture {
        Some(architecture) => {
            let overview = overview(architecture)?;
            if args.json { serde_json::to_string_pretty(&overview) } else { Ok(layers(&overview).to_text()) }
        }
        None => {
            let all = Architecture::all().map(overview).collect::<std::result::Result<Vec<Overview>, _>>()?;
            if args.json { serde_json::to_string_pretty(&all) } else { Ok(list(&all).to_text()) }
        }
    };
    ui::data(text.expect("an overview is plain data").trim_end())?;
    Ok(End::Done)
}
