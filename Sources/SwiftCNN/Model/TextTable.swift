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

/// A number with so many digits behind the point; one that has more digits than a `Double` keeps in scientific form, and
/// what is no finite number as `inf`, `-inf` or `nan`.
func decimal(_ number: Double, _ digits: Int) -> String {
  guard number.isFinite else { return "\(number)" }
  let unit = power(ofTen: digits), rounded = (number.magnitude * Double(unit)).rounded()
  guard rounded <= 0x1p53 else { return scientific(number, digits) }
  let scaled = Int(rounded)
  let sign = number < 0 && scaled > 0 ? "-" : ""
  if digits == 0 { return sign + String(scaled) }
  let fraction = String(scaled % unit)
  return "\(sign)\(scaled / unit)." + String(repeating: "0", count: digits - fraction.count) + fraction
}

/// A finite number as one from 1 to 10, with so many digits behind the point, times a power of ten, as `1.271e-8`.
func scientific(_ number: Double, _ digits: Int) -> String {
  var mantissa = number, exponent = 0
  // What would be written as 10 is 1 of the next power.
  let end = 10 - 0.5 / Double(power(ofTen: digits))
  while mantissa.magnitude >= end { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
  while mantissa != 0, mantissa.magnitude < end / 10 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
  return "\(decimal(mantissa, digits))e\(exponent)"
}

private func power(ofTen digits: Int) -> Int { (0..<digits).reduce(1) { result, _ in result * 10 } }

/// A number with commas between thousands.
func grouped(_ number: Int) -> String {
  var result = ""
  for (index, digit) in String(number).reversed().enumerated() {
    if index > 0, index % 3 == 0 { result.append(",") }
    result.append(digit)
  }
  return String(result.reversed())
}
