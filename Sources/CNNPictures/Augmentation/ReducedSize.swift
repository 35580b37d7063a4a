/// Sizes at which libjpeg-turbo can decode a picture, in less time than the whole.
public enum ReducedSize {
  /// What a side is divided by.
  static let factors = [8, 4, 2]

  /// The side of a picture that is decoded at a part of its size, rounded up as libjpeg does.
  static func side(_ side: Int, dividedBy factor: Int) -> Int { (side + factor - 1) / factor }

  /// The largest factor at which a part of the picture is still as large as it is wanted; 1 for the whole size.
  public static func factor(of size: (height: Int, width: Int), for wanted: (height: Int, width: Int)) -> Int {
    factors.first { size.height / $0 >= wanted.height && size.width / $0 >= wanted.width } ?? 1
  }
}
