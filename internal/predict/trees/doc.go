// Package trees is Serin's own engine for ensembles of decision trees.
package trees
