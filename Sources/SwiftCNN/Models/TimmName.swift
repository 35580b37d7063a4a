import CNNCore
import CNNGraph
import CNNPictures

/// A name as timm and its repositories on the Hugging Face Hub have it: `resnet50`, `resnet50.a1_in1k` or
/// `hf-hub:timm/resnet50.a1_in1k`. The tag behind the dot says which weights are meant, and with them how pictures are
/// prepared.
struct TimmName {
  let architecture: String
  let tag: String?

  /// Reads a name; one without prefix and tag is its own architecture.
  init(_ name: String) {
    var rest = name[...]
    for prefix in ["hf-hub:", "hf_hub:", "https://huggingface.co/", "timm/"] where rest.hasPrefix(prefix) {
      rest = rest.dropFirst(prefix.count)
    }
    let parts = rest.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    architecture = parts.first.map(String.init) ?? name
    tag = parts.count > 1 ? String(parts[1]) : nil
  }

  /// The variant prepared as timm's configuration of the tag says.
  /// - Throws: `.unknownName` for a tag that timm does not have for it.
  func configured(_ variant: any ModelFamily) throws(CNNError) -> any ModelFamily {
    guard let tag else { return variant }
    let rows = Self.rows.filter { $0.architectures.contains(variant.name) }
    guard let row = rows.first(where: { $0.tags.contains(tag) }) else {
      guard !rows.isEmpty else {
        throw CNNError(.unknownName, "unknown tag '\(tag)': '\(variant.name)' has none")
      }
      throw unknownName("tag of '\(variant.name)':", tag, among: rows.flatMap(\.tags))
    }
    var result = variant
    if let size = row.size {
      result.resolution = size
      result.pictures = PictureConstants(
        shorterSide: Int(Double(size) / row.crop), interpolation: row.interpolation, isSquashed: row.isSquashed)
    }
    if let pixels = row.pixels { result.pixels = pixels }
    // torchvision gave its largest ones TensorFlow's.
    if variant.name == "efficientnet_b5" { result.epsilon = 1e-5 }
    return result
  }

  /// What to do where the weights that a tag names were not given.
  func advice(for variant: any ModelFamily) -> String? {
    tag.map {
      "'\(variant.name).\($0)' names weights, which do not come with this library, so the model begins at random: get "
        + "model.safetensors from https://huggingface.co/timm/\(variant.name).\($0) and give its path as 'weights'"
    }
  }

  /// What several configurations have in common. Without a size it is that of the variant.
  private struct Row {
    let architectures, tags: [String]
    let size: Int?
    let crop: Double
    let interpolation: ResamplingFilter
    let pixels: PixelConstants?
    let isSquashed: Bool

    init(
      _ architectures: String, _ tags: String, _ size: Int? = nil, crop: Double = 0.875,
      _ interpolation: ResamplingFilter = .bicubic, pixels: PixelConstants? = nil, isSquashed: Bool = false
    ) {
      (self.architectures, self.tags) = (Self.words(architectures), Self.words(tags))
      (self.size, self.crop, self.interpolation) = (size, crop, interpolation)
      (self.pixels, self.isSquashed) = (pixels, isSquashed)
    }

    private static func words(_ text: String) -> [String] { text.split(separator: " ").map(String.init) }
  }

  private static let resNets = "resnet18 resnet34 resnet50 resnet101 resnet152"
  private static let largeResNets = "resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d"
  private static let wide = "wide_resnet50_2 wide_resnet101_2"
  private static let tensorFlows = "tf_efficientnet_b0 tf_efficientnet_b1 tf_efficientnet_b2 tf_efficientnet_b3"
  private static let largeTensorFlows = "tf_efficientnet_b4 tf_efficientnet_b5 tf_efficientnet_b6 tf_efficientnet_b7"

  /// `input_size`, `crop_pct`, `interpolation`, `mean` and `std` of timm 1.0's configurations.
  private static let rows = [
    Row("\(resNets) resnext50_32x4d", "a1_in1k a2_in1k", 224, crop: 0.95),
    Row("\(resNets) resnext50_32x4d", "a3_in1k", 160, crop: 0.95),
    Row("resnet101 resnet152 resnext50_32x4d", "a1h_in1k", 224, crop: 0.95),
    Row("resnet50", "a1h_in1k", 176, crop: 0.9),
    Row("resnet50", "b1k_in1k b2k_in1k c1_in1k c2_in1k d_in1k", 224, crop: 0.95),
    Row("resnet50", "bamboo", 224, crop: 1),
    Row("resnet50", "am_in1k bt_in1k ra_in1k ram_in1k", 224),
    Row("resnet34", "bt_in1k", 224),
    Row("resnet34", "ra4_e3600_r224_in1k", 224, crop: 0.9, pixels: .signed),
    Row("resnext50_32x4d", "ra_in1k", 224),
    Row("wide_resnet50_2", "racm_in1k", 224),
    Row("\(resNets) resnext50_32x4d", "gluon_in1k", 224),
    Row("resnet18 resnet34 \(largeResNets) \(wide)", "tv_in1k", 224, .bilinear),
    Row("\(largeResNets) \(wide)", "tv2_in1k", 176, .bilinear),
    Row(
      "resnet18 resnet50 resnext50_32x4d resnext101_32x8d", "fb_ssl_yfcc100m_ft_in1k fb_swsl_ig1b_ft_in1k", 224,
      .bilinear),
    Row("resnext101_32x8d", "fb_wsl_ig1b_ft_in1k", 224, .bilinear),
    Row("efficientnet_b0", "ra_in1k", 224),
    Row("efficientnet_b0", "ra4_e3600_r224_in1k", 224, crop: 0.9, pixels: .signed),
    Row("efficientnet_b1", "ft_in1k", 224),
    Row("efficientnet_b1", "ra4_e3600_r240_in1k", 240, crop: 0.9, pixels: .signed),
    Row("efficientnet_b2", "ra_in1k", 256),
    Row("efficientnet_b3", "ra2_in1k", 288),
    Row("efficientnet_b4", "ra2_in1k", 320),
    Row("efficientnet_b5", "sw_in12k", 416, crop: 0.95),
    Row("efficientnet_b5", "sw_in12k_ft_in1k", 448, crop: 1, isSquashed: true),
    Row("\(tensorFlows) \(largeTensorFlows)", "aa_in1k ns_jft_in1k"),
    Row("\(tensorFlows) \(largeTensorFlows)", "ap_in1k", pixels: .signed),
    Row("\(tensorFlows) tf_efficientnet_b4 tf_efficientnet_b5", "in1k"),
    Row("tf_efficientnet_b5 tf_efficientnet_b7", "ra_in1k"),
    Row(
      "tf_efficientnet_lite0 tf_efficientnet_lite1 tf_efficientnet_lite2 tf_efficientnet_lite3 tf_efficientnet_lite4",
      "in1k"),
    Row("tf_efficientnetv2_s", "in1k in21k in21k_ft_in1k"),
  ]
}
