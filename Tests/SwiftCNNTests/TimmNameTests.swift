import CNNCore
import CNNPictures
import Testing

@testable import SwiftCNN

@Suite struct TimmNameTests {
  /// Few parameters, which does not change how pictures are prepared.
  private var narrow: ModelOptions {
    var options = ModelOptions()
    options.scaling.width = 0.125
    return options
  }

  /// As timm 1.0's `resolve_model_data_config` has them.
  @Test(arguments: [
    ("resnet50.a1_in1k", 224, 235, ResamplingFilter.bicubic, 0.485),
    ("hf-hub:timm/resnet18.tv_in1k", 224, 256, .bilinear, 0.485),
    ("timm/resnet50.tv2_in1k", 176, 201, .bilinear, 0.485),
    ("https://huggingface.co/timm/resnet34.ra4_e3600_r224_in1k", 224, 248, .bicubic, 0.5),
    ("tf_efficientnet_b0.ns_jft_in1k", 224, 256, .bicubic, 0.485),
    ("tf_efficientnet_b4.ap_in1k", 380, 412, .bicubic, 0.5),
    ("efficientnet_b4.ra2_in1k", 320, 365, .bicubic, 0.485),
    ("timm/resnet18", 224, 256, .bilinear, 0.485),
  ])
  func aTagSaysHowPicturesArePrepared(
    _ name: String, _ size: Int, _ side: Int, _ interpolation: ResamplingFilter, _ mean: Double
  ) throws {
    let model = try Model(name, options: narrow)
    #expect(model.inputShape == [size, size, 3])
    #expect(
      model.preprocessing
        == Preprocessing(
          resizing: .shorterSide(side), crop: .init(height: size, width: size), interpolation: interpolation))
    #expect(model.normalization.mean[0] == mean)
    #expect(ModelRegistry.names.contains(model.name))
  }

  @Test func squashedPicturesAreNotCut() throws {
    let model = try Model("efficientnet_b5.sw_in12k_ft_in1k", options: narrow)
    #expect(model.preprocessing.resizing == .exact(height: 448, width: 448) && model.preprocessing.crop == nil)
  }

  @Test func missingWeightsAreToldOfOnce() throws {
    let model = try Model("resnet18.a1_in1k", options: narrow)
    var texts: [String] = []
    for _ in 0..<2 { try model.readWarning { texts.append($0) } }
    #expect(texts[0].hasSuffix("https://huggingface.co/timm/resnet18.a1_in1k and give its path as 'weights'"))
    #expect(texts[1].isEmpty)
    try Model("resnet18", options: narrow).readWarning { texts.append($0) }
    #expect(texts[2].isEmpty)
  }

  @Test(arguments: [
    ("resnet50.a9_in1k", "unknown tag of 'resnet50': 'a9_in1k'; did you mean 'a1_in1k'?"),
    ("hf-hub:timm/resnet5O.a1_in1k", "unknown model 'resnet5O'; did you mean 'resnet50'?"),
    ("keras_resnet50.a1_in1k", "unknown tag 'a1_in1k': 'keras_resnet50' has none"),
  ])
  func whatIsNotKnown(_ name: String, _ message: String) {
    let error = #expect(throws: CNNError.self) { try ModelRegistry.variant(name) }
    #expect(error?.message == message)
  }

  @Test(arguments: ["num_classes", "in_chans", "pretrained", "drop_rate", "global_pool", "input_tensor", "progress"])
  func otherLibrariesOptionsAreAnswered(_ key: String) {
    var json = JSONObject()
    json[key] = .null
    let given = json
    let error = #expect(throws: CNNError.self) { try ModelOptions(json: given) }
    #expect(error?.message == "unknown option '\(key)': \(ForeignOptions.advice[key] ?? "?")")
  }

  @Test func whatIsAbbreviatedElsewhereIsUnderstood() {
    let error = unknownName("option", "lr", among: ["momentum", "learning_rate"])
    #expect(error.message == "unknown option 'lr'; did you mean 'learning_rate'?")
    #expect(
      unknownName("option", "lr", among: ["momentum"]).message == "unknown option 'lr'; expected one of: momentum")
  }
}
