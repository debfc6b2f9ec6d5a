// Package page writes results as one HTML file that needs nothing else: no script, no
// style sheet, no font and no network, which its own policy forbids. It opens from
// disk.
//
// A page has a plot, tables and facts. The plot is SVG. Its lines are told apart by
// dashes and by the shapes of their points, not by colour alone, so that it can be
// printed; colours follow the reader's light or dark setting. Each point has its values
// as a tooltip, and the tables below repeat them for those who cannot hover. There are
// two drawings, of which narrow screens show the one with fewer and larger letters.
//
// All texts may come from files: they are escaped.
package page
