/// The parts of an SVG document.
package enum SVG {
  /// Of a character of the font, 11 pixels high.
  package static let characterWidth = 6.63

  /// A document with a white ground.
  package static func document(width: Int, height: Int, _ body: String) -> String {
    """
    <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" viewBox="0 0 \(width) \(height)" \
    font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="11">
    <rect width="100%" height="100%" fill="#ffffff"/>
    \(body)</svg>

    """
  }

  /// A rectangle with round corners.
  package static func rectangle(
    _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ style: String, _ radius: Int
  ) -> String {
    "<rect x=\"\(number(x))\" y=\"\(number(y))\" width=\"\(number(width))\" height=\"\(number(height))\" "
      + "rx=\"\(radius)\" \(style)/>\n"
  }

  /// A circle around a point.
  /// - Parameter title: what a browser shows where the mouse is over it.
  package static func circle(
    _ x: Double, _ y: Double, radius: Double, _ style: String, title: String = ""
  ) -> String {
    "<circle cx=\"\(number(x))\" cy=\"\(number(y))\" r=\"\(number(radius))\" \(style)>"
      + (title.isEmpty ? "" : "<title>\(escaped(title))</title>") + "</circle>\n"
  }

  /// A line through points.
  package static func line(_ points: [(x: Double, y: Double)], _ style: String) -> String {
    let corners = points.map { "\(number($0.x)),\(number($0.y))" }.joined(separator: " ")
    return "<polyline points=\"\(corners)\" fill=\"none\" \(style)/>\n"
  }

  /// A text; what is longer than `limit` characters is cut off.
  package static func text(_ text: String, _ x: Double, _ y: Double, _ style: String, limit: Int = 40) -> String {
    let shown = text.unicodeScalars.count > limit ? String(text.unicodeScalars.prefix(limit - 1)) + "…" : text
    return "<text x=\"\(number(x))\" y=\"\(number(y))\" \(style)>\(escaped(shown))</text>\n"
  }

  /// With one decimal.
  package static func number(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return tenths % 10 == 0 ? String(tenths / 10) : "\(tenths < 0 ? "-" : "")\(abs(tenths) / 10).\(abs(tenths) % 10)"
  }

  /// Text as XML has it; characters that it cannot have become question marks.
  private static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\u{0}"..."\u{1F}", "\u{FFFE}", "\u{FFFF}": result += "?"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
