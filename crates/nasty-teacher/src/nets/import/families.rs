//! Recognises unsupported networks by the names of their tensors.

use super::recognise::Shapes;

/// What the network with these tensors probably is, for the message that it cannot be built.
pub(super) fn guess(tensors: &Shapes) -> Option<&'static str> {
    let has = |name: &str| tensors.contains_key(name);
    let any = |part: &str| tensors.keys().any(|name| name.contains(part));
    let kernel = |name: &str| tensors.get(name).and_then(|shape| shape.get(2)).copied();
    let found = if any("lora_A") || any("lora_down") {
        "an adapter (LoRA), which is a difference from another network's weights"
    } else if any("diffusion_model.") || any("first_stage_model.") || has("conv_in.weight") {
        "a diffusion model, which classifies no images"
    } else if any("transformer.h.0.") || any("embed_tokens.weight") || any("word_embeddings.weight") {
        "a language model, which classifies no images"
    } else if has("conv1.weight") && kernel("conv1.weight") == Some(7) && any("layer1.0.") {
        "a ResNet, ResNeXt or wide ResNet with a 7×7 stem for large images, as torchvision and timm have them"
    } else if has("features.conv0.weight") {
        "a DenseNet with a stem for large images, as torchvision has it"
    } else if any("patch_embed.proj.")
        || has("class_token")
        || has("cls_token")
        || any("embeddings.patch_embeddings")
    {
        "a vision transformer"
    } else if any("stem_conv") || any("conv_stem.") {
        "an EfficientNet or MobileNet of timm"
    } else if any("Mixed_5b.") || any("inception3a.") {
        "an Inception network"
    } else if has("features.0.0.weight") || any("features.0.0.") {
        "a MobileNet, EfficientNet, ConvNeXt or Swin of torchvision"
    } else if has("features.0.weight") && any("classifier.") {
        "an AlexNet or VGG"
    } else if any("stage2.0.branch1.") {
        "a ShuffleNet of torchvision"
    } else if any("backbone.body.") || any("rpn.head.") || any("model.22.") {
        "a detector, which does not classify whole images"
    } else if any("stages.0.") {
        "a network of timm"
    } else {
        return None;
    };
    Some(found)
}
