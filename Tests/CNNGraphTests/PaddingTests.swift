import CNNCore
import Testing

@testable import CNNGraph

@Suite struct PaddingTests {
  /// TensorFlow's rule, from its documentation: `ceil(size / stride)` positions; the odd row or column comes last.
  @Test(arguments: 1...12, [1, 2, 3, 4]) func sameGivesTensorFlowsOutputAndSides(_ size: Int, _ stride: Int) throws {
    for kernel in 1...7 {
      for dilation in 1...3 {
        let window = Window(
          kernel: [kernel, 1], stride: [stride, 1], dilation: [dilation, 1], padding: .same)
        let placed = try window.placed(onHeight: size, width: 1)
        let output = (size + stride - 1) / stride
        let total = max(0, (output - 1) * stride + (kernel - 1) * dilation + 1 - size)
        #expect(placed.output == [output, 1])
        #expect(placed.top == total / 2 && placed.bottom == total - total / 2)
        #expect(placed.left == 0 && placed.right == 0)
      }
    }
  }

  /// (size, kernel, stride, before, after), worked out by hand.
  @Test(arguments: [
    (5, 5, 2, 2, 2), (6, 5, 2, 1, 2), (224, 7, 2, 2, 3), (112, 3, 2, 0, 1), (7, 3, 2, 1, 1), (1, 3, 1, 1, 1),
    (4, 2, 1, 0, 1), (9, 1, 2, 0, 0),
  ])
  func sameByHand(_ size: Int, _ kernel: Int, _ stride: Int, _ before: Int, _ after: Int) throws {
    let window = Window(kernel: [kernel, kernel], stride: [stride, stride], dilation: [1, 1], padding: .same)
    let placed = try window.placed(onHeight: size, width: size)
    #expect([placed.top, placed.left, placed.bottom, placed.right] == [before, before, after, after])
  }

  @Test func explicitPaddingIsTopLeftBottomRight() throws {
    let window = Window(
      kernel: [3, 3], stride: [1, 1], dilation: [1, 1],
      padding: .explicit(top: 1, left: 2, bottom: 3, right: 4))
    let placed = try window.placed(onHeight: 5, width: 5)
    #expect(placed.output == [7, 9])
    #expect([placed.top, placed.left, placed.bottom, placed.right] == [1, 2, 3, 4])
  }

  @Test func paddingIsReadFromAttributes() throws {
    var same: Attributes = ["padding": .text("same")]
    #expect(try Padding(&same) == .same)
    var sides: Attributes = ["padding": .integers([1, 2, 3, 4])]
    #expect(try Padding(&sides) == .explicit(top: 1, left: 2, bottom: 3, right: 4))
    var none = Attributes()
    #expect(try Padding(&none) == Padding.none)
    var wrong: Attributes = ["padding": .text("valid")]
    let error = #expect(throws: CNNError.self) { try Padding(&wrong) }
    #expect(error?.message == "attribute 'padding' is 'valid'; expected 'same' or 4 whole numbers")
    var short: Attributes = ["padding": .integers([1, 2])]
    #expect(throws: CNNError.self) { try Padding(&short) }
  }

  @Test func hugeWindowsAreRefusedWithoutOverflow() {
    for padding in [Padding.same, .all(.max), .all(.min)] {
      for number in [Int.max, Int.min, 1 << 24, 1 << 62] {
        let windows = [
          Window(kernel: [number, 1], stride: [1, 1], dilation: [number, 1], padding: padding),
          Window(kernel: [1, 1], stride: [number, number], dilation: [1, 1], padding: padding),
        ]
        for var window in windows {
          for roundsUp in [false, true] {
            window.roundsUp = roundsUp
            _ = try? window.placed(onHeight: .max, width: .max)
          }
        }
      }
    }
  }
}
