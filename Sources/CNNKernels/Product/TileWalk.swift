import CNNCore

/// How the pixels of a convolution's result are cut into tiles of pixels at a constant distance in the input.
///
/// Along a row of the result, or, where the distance from row to row allows it, over all rows and images in one line: then
/// the tiles run over borders too, whose pixels are no results, and stay full where rows are short.
struct TileWalk: Sendable {
  /// The pixels of a tile, at most 16, and bytes of the input between them and from a round's tile to the next.
  let pixels, pixelStride, nextTile: Int
  /// What is computed, in the order of the pixels: as many tiles in a round as there may be, as far as they go.
  let rounds: [Round]

  /// Some tiles that are computed together.
  struct Round: Sendable {
    let tiles: Int
    let input: Int
    let spans: [TileSpan]
  }

  /// - Parameters:
  ///   - input: with its border in place; the window begins at its first pixel.
  ///   - output: the pixels to which the results go.
  ///   - most: the tiles of a round.
  init(_ input: TileInput, stride: [Int], output: PixelGrid, most: Int = 2) {
    let size = BlockedTensor.pixelByteCount, step = stride[1] * input.pixelByteCount,
      rowStep = stride[0] * input.rowByteCount
    pixelStride = step
    let images = output.tensor.images, height = output.height, width = output.width
    /// Where a result goes.
    func result(_ image: Int, _ row: Int, _ column: Int) -> Int {
      output.originByteOffset + image * output.tensor.imageByteCount + row * output.rowByteCount
        + column * output.pixelByteCount
    }
    // All rows and images as one line, with the places between them.
    let rowPlaces = rowStep / step, imagePlaces = input.imageByteCount / step
    let places = (images - 1) * imagePlaces + (height - 1) * rowPlaces + width
    let isWhole = rowStep % step == 0 && (images == 1 || input.imageByteCount % step == 0)
    let rowTiles = (width + 15) / 16, rowPixels = (width + rowTiles - 1) / rowTiles
    // The time of a tile is that of its rows, and of a few more to load the filter.
    let alongRows = images * height * rowTiles * (rowPixels + 4), asOne = (places + 15) / 16 * (min(places, 16) + 4)
    if isWhole && asOne <= alongRows {
      pixels = Self.size(places: places, most)
      nextTile = pixels * step
      /// The results among some places.
      func spans(_ range: Range<Int>, from start: Int) -> [TileSpan] {
        var spans: [TileSpan] = [], place = range.lowerBound
        while place < range.upperBound {
          let image = images == 1 ? 0 : min(place / imagePlaces, images - 1)
          let row = min((place - image * imagePlaces) / rowPlaces, height - 1)
          let first = image * imagePlaces + row * rowPlaces
          let column = place - first
          if column < width {
            let count = min(width - column, range.upperBound - place)
            spans.append(
              TileSpan(
                source: (place - start) * size, pixels: count,
                output: result(image, row, column)))
            place += count
          } else {
            // On to the next row, or to the next image.
            let next = row + 1 < height ? first + rowPlaces : (image + 1) * imagePlaces
            place = max(place + 1, next)
          }
        }
        return spans
      }
      rounds = Self.cut(places, pixels, most).map {
        Round(tiles: $0.tiles, input: $0.start * step, spans: spans($0.new, from: $0.start))
      }
      return
    }
    pixels = rowPixels
    var rounds: [Round] = []
    let pairsRows = rowTiles == 1
    nextTile = pairsRows ? rowStep : pixels * step
    for image in 0..<images {
      var row = 0
      while row < height {
        let start = image * input.imageByteCount + row * rowStep
        func span(_ columns: Range<Int>, source: Int, row: Int) -> TileSpan {
          TileSpan(
            source: source * size, pixels: columns.count,
            output: result(image, row, columns.lowerBound))
        }
        if pairsRows {
          let count = min(most, height - row)
          rounds.append(
            Round(
              tiles: count, input: start,
              spans: (0..<count).map { span(0..<width, source: $0 * rowPixels, row: row + $0) }))
          row += count
        } else {
          for part in Self.cut(width, pixels, most) {
            rounds.append(
              Round(
                tiles: part.tiles, input: start + part.start * step,
                spans: [span(part.new, source: part.new.lowerBound - part.start, row: row)]))
          }
          row += 1
        }
      }
    }
    self.rounds = rounds
  }

  /// The size of the tiles of a line: as large as can be, and of a line that is one round equal.
  private static func size(places: Int, _ most: Int) -> Int {
    let tiles = (places + 15) / 16
    return tiles > most ? 16 : (places + tiles - 1) / tiles
  }

  /// Cuts a line into tiles of `pixels` places, as many at a time as there may be; the last begin earlier, where there is
  /// less left, and compute again what others have.
  private static func cut(_ places: Int, _ pixels: Int, _ most: Int) -> [(tiles: Int, start: Int, new: Range<Int>)] {
    var result: [(Int, Int, Range<Int>)] = [], done = 0
    while done < places {
      let tiles = max(1, min(most, (places - done + pixels - 1) / pixels, places / pixels))
      let end = min(places, done + tiles * pixels)
      result.append((tiles, end - tiles * pixels, done..<end))
      done = end
    }
    return result
  }
}
