// In place of Unfold's copy of Chart.js (196 KB): the dashboard draws its chart in HTML.
