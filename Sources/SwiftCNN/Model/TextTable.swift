/// Rows of cells as lines whose columns stand below one another.
/// - Parameter firstText: the first column that begins at the left; numbers before it end at the right.
func aligned(_ rows: [[String]], firstText: Int) -> [String] {
  guard let columns = rows.first?.indices else { return [] }
  let widths = columns.map { column in rows.map { $0[column].count }.max() ?? 0 }
  return rows.map { row in
    let cells = row.enumerated().map { column, cell in
      let space = String(repeating: " ", count: column == row.count - 1 ? 0 : widths[column] - cell.count)
      return column < firstText ? space + cell : cell + space
    }
    return cells.joined(separator: "  ")
  }
}

/// A finite number with so many digits behind the point.
func decimal(_ number: Double, _ digits: Int) -> String {
  let unit = (0..<digits).reduce(1) { result, _ in result * 10 }
  let scaled = Int((min(number.magnitude, 1e15) * Double(unit)).rounded())
  let sign = number < 0 && scaled > 0 ? "-" : ""
  if digits == 0 { return sign + String(scaled) }
  let fraction = String(scaled % unit)
  return "\(sign)\(scaled / unit)." + String(repeating: "0", count: digits - fraction.count) + fraction
}
