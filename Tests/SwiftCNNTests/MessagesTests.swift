import CNNCore
import Testing

@testable import SwiftCNN

/// What messages call the options that were given from Swift.
@Suite struct MessagesTests {
  private func message(_ body: () throws -> Void) throws -> String {
    let error = #expect(throws: CNNError.self) { try body() }
    return try #require(error).message
  }

  @Test func optionsHaveSwiftsNames() throws {
    #expect(try message { try FitOptions(batchSize: 0).validate() } == "batchSize is 0; expected 1 or more")
    #expect(
      try message { try FitOptions(classWeights: [1: -1]).validate() }
        == "classWeights of 1 is -1.0; expected 0 or more, for a class")
    #expect(
      try message { try OptimizerSettings.sgd(clipping: .norm(0)).validate() } == "clipping is 0.0; expected above 0")
    #expect(
      try message { try OptimizerSettings.adam(movingAverage: MovingAverage(decay: 1)).validate() }
        == "movingAverage.decay is 1.0; expected between 0 and 1")
    #expect(try message { try LearningRateSchedule.cosine(finalRate: -1).validate() }.hasPrefix("finalRate is -1"))
    #expect(try message { try ModelScaling(width: 0).validate() }.hasPrefix("width is 0.0"))
    #expect(try message { try ModelOptions(dropPath: 2).validate() } == "dropPath is 2.0; expected 0 to 1")
    var options = ImageFolderOptions(subset: .validation)
    #expect(try message { try options.validate() }.hasPrefix("subset is validation, but validationSplit is 0"))
    options.augmentation.mirroring = 2
    #expect(try message { try options.validate() } == "augmentation.mirroring is 2.0; expected 0 to 1")
    options.augmentation.mirroring = 0
    options.subset = .training
    options.augmentation.crop = RandomResizedCrop(scale: 0...1)
    #expect(try message { try options.validate() }.hasPrefix("augmentation.crop: scale is 0"))
    var rate = RateOptions()
    rate.classNumber = -1
    let metric = Metric.rate(.precision, rate)
    #expect(try message { try metric.validate() } == "precision: classNumber is -1; expected 0 or more")
    let predictions = [[0.5, 0.25], [0.25, 0.5]]
    #expect(
      try message { try Measures([.accuracy]).add(targets: [0, 2], predictions: predictions) }
        == "targets[1] is 2; expected a class from 0 to 1")
  }
}
