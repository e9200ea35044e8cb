from django.urls import reverse


def test_placeholder_page_of_a_request(operator, guild_a, make_ask, now):
    from jobs import submission

    job = submission.submit(make_ask(guild_a), now=now).job
    page = operator.get(reverse("admin:jobs_job_change", args=[job.pk]))
    assert page.status_code == 200
    assert "a red circle" in page.text
    assert operator.get(reverse("admin:jobs_job_changelist") + "?q=circle").status_code == 200
    assert operator.get(reverse("admin:jobs_jobimage_changelist")).status_code == 200
