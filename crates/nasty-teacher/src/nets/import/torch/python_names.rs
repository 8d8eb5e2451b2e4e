//! The Python names in pickles, classified: harmful, plain data, and others.

use super::tensors::ElementKind;

/// Names that do harm when they are called, or that only an attack needs in a pickle.
pub(super) fn is_hostile(name: &str) -> bool {
    // The older pickle protocols use Python 2's name of the module.
    if let Some(builtin) = name.strip_prefix("__builtin__.") {
        return is_hostile(&format!("builtins.{builtin}"));
    }
    const MODULES: &[&str] = &[
        "subprocess.",
        "commands.",
        "pty.",
        "socket.",
        "ctypes.",
        "importlib.",
        "runpy.",
        "shutil.",
        "webbrowser.",
        "pickle.",
        "_pickle.",
        "cPickle.",
        "marshal.",
        "code.",
        "codeop.",
        "pdb.",
        "bdb.",
        "timeit.",
        "profile.",
        "cProfile.",
        "pip.",
        "urllib.",
        "urllib2.",
        "requests.",
        "http.",
        "ftplib.",
        "smtplib.",
        "torch.hub.",
        "torch.utils.model_zoo.",
        "torch.utils.cpp_extension.",
        "multiprocessing.",
        "pydoc.",
    ];
    const NAMES: &[&str] = &[
        "builtins.eval",
        "builtins.exec",
        "builtins.execfile",
        "builtins.compile",
        "builtins.open",
        "builtins.input",
        "builtins.__import__",
        "builtins.breakpoint",
        "builtins.globals",
        "builtins.setattr",
        "builtins.delattr",
        "torch.load",
        "torch.serialization.load",
        "torch.jit.load",
        "numpy.load",
        "numpy.fromfile",
        "io.open",
        "sys.exit",
        "sys.modules",
        "types.FunctionType",
        "types.CodeType",
        "operator.attrgetter",
        "operator.methodcaller",
    ];
    let system = ["os.", "posix.", "nt."].iter().find_map(|module| name.strip_prefix(module));
    system.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.starts_with("path"))
        || MODULES.iter().any(|module| name.starts_with(module))
        || NAMES.contains(&name)
}

/// Names of tensors and of plain data, which need no mention.
pub(super) fn is_plain(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "collections.OrderedDict",
        "_codecs.encode",
        "copy_reg._reconstructor",
        "copyreg._reconstructor",
        "torch.Size",
        "torch.Tensor",
        "torch.device",
        "torch.memory_format",
        "torch.nn.parameter.Parameter",
        "torch.nn.parameter.Buffer",
        "numpy.dtype",
        "numpy.ndarray",
    ];
    const MODULES: &[&str] = &[
        // What holds the weights of a whole module.
        "torch.nn.modules.",
        "__torch__.",
        "torch.serialization._get_layout",
        "builtins.",
        "__builtin__.",
        "torch._utils.",
        "torch._tensor.",
        "torch.storage.",
        "numpy.core.",
        "numpy._core.",
        "numpy.dtypes.",
        "pathlib.",
    ];
    let torch = name.strip_prefix("torch.").map(|rest| rest.rsplit('.').next().unwrap_or(rest));
    // Storages, the older types of tensors, and types such as torch.float32.
    torch.is_some_and(|last| {
        last.ends_with("Storage") || last.ends_with("Tensor") || ElementKind::named(last).is_some()
    }) || NAMES.contains(&name)
        || MODULES.iter().any(|module| name.starts_with(module))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harm_is_told_from_what_is_merely_foreign() {
        for name in [
            "os.system",
            "posix.popen",
            "builtins.eval",
            "__builtin__.eval",
            "subprocess.Popen",
            "torch.load",
        ] {
            assert!(is_hostile(name), "{name}");
        }
        for name in [
            "collections.defaultdict",
            "torch.optim.sgd.SGD",
            "mine.Config",
            "datetime.datetime",
            "builtins.getattr",
            "functools.partial",
            "os.PathLike",
            "torch.nn.functional.relu",
        ] {
            assert!(!is_hostile(name) && !is_plain(name) || name.starts_with("builtins."), "{name}");
        }
        for name in [
            "torch.float32",
            "torch.FloatStorage",
            "numpy.core.multiarray.scalar",
            "torch._utils._rebuild_tensor_v2",
        ] {
            assert!(is_plain(name), "{name}");
        }
    }
}
